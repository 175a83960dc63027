"""Synchronous user code: a thread for each invocation, and a way from that thread to the exchange."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ..waiters import Waiters

T = TypeVar("T")


class Threads:
    """A pool with one thread for each invocation that may run at once."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=count, thread_name_prefix="dialback")

    async def run(self, function: Callable[[], T]) -> T:
        """Call `function` in a thread that has a copy of this task's context variables.

        Python cannot stop a thread. So when this task is cancelled, it still waits until `function` has returned (its
        next write or yield tells it to), and with it the slot that the invocation holds stays taken.
        """
        # Not run_in_executor and asyncio.wait: the two take longer than the thread needs to begin and to end.
        loop, ended = asyncio.get_running_loop(), Waiters()
        future = self._pool.submit(contextvars.copy_context().run, function)
        future.add_done_callback(lambda _: _call_on(loop, ended.wake))
        cancelled: asyncio.CancelledError | None = None
        while not future.done():
            try:
                await ended.wait()
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            future.exception()
            raise cancelled
        return future.result()

    def close(self) -> None:
        """Let idle threads end; those that run are not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _call_on(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(function)
    except RuntimeError:
        # It is closed: the worker ends, and nobody waits any more.
        pass


class LoopCaller:
    """Lets a thread call coroutines on the loop and wait for what they return. Make it on the loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()

    def __call__(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` on the loop; returns or raises what it does."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    async def wait(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The same for asynchronous code, on that loop or on another."""
        if asyncio.get_running_loop() is self.loop:
            return await function()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(function(), self.loop))
