"""ASGI's lifespan, alone."""

import asyncio
import logging
from typing import Any

import pytest

from dialback_bridge.handlers.base import StartFailed
from dialback_bridge.handlers.lifespan import Lifespan

from .fakes import BOUND


async def test_an_application_that_raises_does_not_take_part() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise TypeError("http only")

    lifespan = Lifespan(app)
    await asyncio.wait_for(lifespan.start(), BOUND)
    await lifespan.stop()


async def test_an_application_that_was_never_started_stops() -> None:
    await Lifespan(None).stop()  # type: ignore[arg-type]


async def test_an_application_that_exits_at_start_up_fails() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise SystemExit("no")

    with pytest.raises(StartFailed, match="SystemExit: no"):
        await asyncio.wait_for(Lifespan(app).start(), BOUND)


async def test_state_is_kept_and_a_failing_shut_down_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert await receive() == {"type": "lifespan.startup"}
        scope["state"]["pool"] = 1
        await send({"type": "lifespan.startup.complete"})
        assert await receive() == {"type": "lifespan.shutdown"}
        await send({"type": "lifespan.shutdown.failed", "message": "stuck"})

    lifespan = Lifespan(app)
    await asyncio.wait_for(lifespan.start(), BOUND)
    assert lifespan.state == {"pool": 1}
    with caplog.at_level(logging.ERROR):
        await asyncio.wait_for(lifespan.stop(), BOUND)
    assert "stuck" in caplog.text


async def test_a_lifespan_that_breaks_later_or_sends_nonsense_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})
        await send({"type": "http.response.start"})

    lifespan = Lifespan(app)
    with caplog.at_level(logging.ERROR):
        await asyncio.wait_for(lifespan.start(), BOUND)
        await asyncio.wait_for(lifespan.stop(), BOUND)
    assert "unexpected ASGI message 'http.response.start'" in caplog.text


async def test_a_lifespan_that_is_cancelled_ends() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})
        raise asyncio.CancelledError

    lifespan = Lifespan(app)
    await asyncio.wait_for(lifespan.start(), BOUND)
    await asyncio.wait_for(lifespan.stop(), BOUND)
