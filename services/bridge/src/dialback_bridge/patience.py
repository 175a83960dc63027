"""One time-out for many waits: a single timer, however many wait and however soon each is done."""

from __future__ import annotations

import asyncio


class Patience:
    """Ends waits of the same length, in seconds, that are not done in time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # In the order in which they began, so that the first is the one to look at.
        self._waits: dict[asyncio.Future[None], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, future: asyncio.Future[None]) -> None:
        """Wait for `future`. Raises asyncio.TimeoutError when it takes too long."""
        loop = asyncio.get_running_loop()
        self._waits[future] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look, loop)
        try:
            await future
        finally:
            self._waits.pop(future, None)

    def close(self) -> None:
        """End no wait any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for future, due in list(self._waits.items()):
            if due > now:
                self._timer = loop.call_at(due, self._look, loop)
                break
            del self._waits[future]
            if not future.done():
                future.set_exception(asyncio.TimeoutError())
