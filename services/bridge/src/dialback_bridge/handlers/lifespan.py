"""ASGI's lifespan protocol: start-up before the first request, shut-down after the last, state for all of them.

https://asgi.readthedocs.io/en/latest/specs/lifespan.html
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from .base import StartFailed

if TYPE_CHECKING:
    from .asgi import Application, Message

ASGI_VERSIONS = {"version": "3.0", "spec_version": "2.4"}

_logger = logging.getLogger("dialback.bridge")


class Lifespan:
    """One run of the application with a `lifespan` scope, as long as the worker lives."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self.state: dict[str, Any] = {}
        """What the application left for its requests; each gets a shallow copy."""
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._asked = False
        self._started: asyncio.Future[str | None] | None = None
        self._stopped: asyncio.Future[str | None] | None = None

    async def start(self) -> None:
        """Run the application's start-up. Raises StartFailed when it says that it failed.

        An application that raises before it answers does not speak lifespan, which is allowed.
        """
        loop = asyncio.get_running_loop()
        self._started, self._stopped = loop.create_future(), loop.create_future()
        self._task = asyncio.ensure_future(self._run())
        message = await self._started
        if message is not None:
            await asyncio.wait([self._task])
            raise StartFailed(message or "the application's start-up failed")

    async def stop(self) -> None:
        """Run the application's shut-down, if it takes part."""
        if self._task is None or self._stopped is None or self._task.done():
            return
        self._stopping.set()
        message = await self._stopped
        if message is not None:
            _logger.error("the application's shut-down failed: %s", message)
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": dict(ASGI_VERSIONS), "state": self.state}
        try:
            await self._application(scope, self._receive, self._send)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if _pending(self._started) and not isinstance(error, Exception):
                self._settle(self._started, f"{type(error).__name__}: {error}")
            elif not _pending(self._started):
                _logger.error("the application's lifespan failed", exc_info=error)
        finally:
            self._settle(self._started, None)
            self._settle(self._stopped, None)

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        await self._stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        kind, text = message["type"], str(message.get("message", ""))
        if kind == "lifespan.startup.complete":
            self._settle(self._started, None)
        elif kind == "lifespan.startup.failed":
            self._settle(self._started, text)
        elif kind == "lifespan.shutdown.complete":
            self._settle(self._stopped, None)
        elif kind == "lifespan.shutdown.failed":
            self._settle(self._stopped, text)
        else:
            raise RuntimeError(f"unexpected ASGI message {kind!r}")

    @staticmethod
    def _settle(future: asyncio.Future[str | None] | None, message: str | None) -> None:
        if future is not None and not future.done():
            future.set_result(message)


def _pending(future: asyncio.Future[str | None] | None) -> bool:
    return future is not None and not future.done()
