"""What ends a handler before it ends by itself: one timer for all deadlines; and threads that outlive the loop."""

import asyncio
import logging
import threading
import time

import pytest

from dialback_bridge.buffered_exchange import BufferedExchange
from dialback_bridge.handlers.threads import Threads
from dialback_bridge.runs import Runs
from dialback_bridge.runtime_client import Delivery
from dialback_wire.messages import Reason

from .fakes import BOUND


def exchange(seconds: float | None) -> BufferedExchange:
    """One whose deadline is so many seconds away."""
    deadline_ms = None if seconds is None else int((time.time() + seconds) * 1000)
    return BufferedExchange(Delivery("id", deadline_ms, "", None, None, b""), {})


async def handled(runs: Runs, handled: BufferedExchange) -> str:
    """Why the handler's response was wanted no more."""
    run = runs.begin(handled)
    try:
        await handled.left()
        return str(handled.gone)
    finally:
        runs.end(run)


@pytest.mark.parametrize("order", [(0.05, 0.1, 3600.0), (3600.0, 0.1, 0.05)])
async def test_each_handler_is_stopped_at_its_own_deadline_whichever_began_first(order: tuple[float, ...]) -> None:
    runs = Runs(cancel_grace=60)
    exchanges = {seconds: exchange(seconds) for seconds in order}
    tasks = [asyncio.ensure_future(handled(runs, each)) for each in exchanges.values()]
    await asyncio.wait(tasks, timeout=BOUND, return_when=asyncio.FIRST_COMPLETED)
    assert exchanges[0.05].gone == "deadline"
    assert exchanges[3600.0].gone is None
    soon = [task for each, task in zip(exchanges.values(), tasks, strict=True) if each is not exchanges[3600.0]]
    assert await asyncio.wait_for(asyncio.gather(*soon), BOUND) == ["deadline", "deadline"]
    runs.stop(Reason.SHUTDOWN)
    await asyncio.wait_for(asyncio.gather(*tasks), BOUND)
    assert exchanges[3600.0].gone is Reason.SHUTDOWN


async def test_a_deadline_that_has_passed_already_stops_at_once_and_none_never() -> None:
    runs = Runs(cancel_grace=60)
    never = exchange(None)
    endless = asyncio.ensure_future(handled(runs, never))
    assert await asyncio.wait_for(handled(runs, exchange(-5)), BOUND) == "deadline"
    assert never.gone is None
    never.finish()
    assert await asyncio.wait_for(endless, BOUND) == "None"


async def test_a_handler_that_does_not_notice_its_deadline_is_cancelled() -> None:
    runs = Runs(cancel_grace=0.01)

    async def deaf() -> None:
        run = runs.begin(exchange(0.01))
        try:
            await asyncio.Event().wait()
        finally:
            runs.end(run)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.ensure_future(deaf()), BOUND)


def test_a_thread_that_ends_when_the_loop_is_closed_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    go_on, threads, loop = threading.Event(), Threads(1), asyncio.new_event_loop()
    running = threads.run(lambda: go_on.wait(BOUND))

    async def begin() -> None:
        running.send(None)

    loop.run_until_complete(begin())
    loop.close()
    with caplog.at_level(logging.ERROR):
        go_on.set()
        threads._pool.shutdown(wait=True)
    running.close()
    assert not caplog.records
