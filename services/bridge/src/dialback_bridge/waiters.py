"""Coroutines that wait for a condition to change, woken by callbacks on the loop's thread."""

from __future__ import annotations

import asyncio


class Waiters:
    """Like `asyncio.Condition` without the lock: wait, look again, wait again."""

    __slots__ = ("_futures",)

    def __init__(self) -> None:
        self._futures: list[asyncio.Future[None]] = []

    async def wait(self, timeout: float | None = None) -> None:
        """Sleep until the next `wake`, at most `timeout` seconds."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._futures.append(future)
        if timeout is None:
            await future
        else:
            # Not `wait_for`: that begins to wait a tick later, and a `wake` in between would be missed.
            await asyncio.wait([future], timeout=timeout)
            if not future.done():
                self._futures.remove(future)

    def wake(self) -> None:
        """Wake everybody who waits now."""
        if self._futures:
            futures, self._futures = self._futures, []
            for future in futures:
                if not future.done():
                    future.set_result(None)
