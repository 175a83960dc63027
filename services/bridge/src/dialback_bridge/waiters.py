"""Coroutines that wait for a condition to change, woken by callbacks on the loop's thread."""

from __future__ import annotations

import asyncio


class Waiters(list["asyncio.Future[None]"]):
    """Like `asyncio.Condition` without the lock: wait, look again, wait again."""

    # A list of the futures that wait, for there are several of these in each invocation.
    __slots__ = ()

    async def wait(self, timeout: float | None = None) -> None:
        """Sleep until the next `wake`, at most `timeout` seconds."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.append(future)
        if timeout is None:
            await future
        else:
            # Not `wait_for`: that begins to wait a tick later, and a `wake` in between would be missed.
            await asyncio.wait([future], timeout=timeout)
            if not future.done():
                self.remove(future)

    def wake(self) -> None:
        """Wake everybody who waits now."""
        if self:
            for future in self:
                if not future.done():
                    future.set_result(None)
            self.clear()
