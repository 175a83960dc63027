"""Work that goes on when the response is complete: `wait_until`.

It holds its invocation's slot until it is done, because the runtime API is answered only then. So a platform that
counts slots knows of it, and a sandbox that is frozen between invocations (AWS Lambda) is not frozen in the middle of
it; on such a platform a caller that waits for the runtime's whole answer waits for it too.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from . import context
from .log_capture import LogSink
from .user_frames import traceback_lines

LIMIT = 300.0
"""Seconds after the response's end that background work may take, unless the invocation's deadline comes before."""

Work = Awaitable[Any] | Callable[[], Any]


class Background:
    """The background work of one invocation. Its methods run on the loop's thread."""

    __slots__ = ("_closed", "_invocation", "_limit", "_log", "_tasks")

    def __init__(self, invocation: str, log: LogSink, limit: float = LIMIT) -> None:
        self._invocation = invocation
        self._log = log
        self._limit = limit
        self._tasks: set[asyncio.Task[Any]] | None = None
        """None until there was work."""
        self._closed = False

    def add(self, work: Work, scope: contextvars.Context) -> None:
        """Begin `work`. Raises RuntimeError when the invocation is over."""
        if self._closed:
            if inspect.iscoroutine(work):
                work.close()
            raise RuntimeError("wait_until: the invocation is over")
        task = scope.run(asyncio.ensure_future, _run(work))
        if self._tasks is None:
            self._tasks = set()
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        if self._tasks is not None:
            self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._emit(["work given to wait_until failed", *traceback_lines(error)])

    def is_open(self) -> bool:
        """Whether there is something to be finished; if not, nothing can be added any more."""
        self._closed = not self._tasks
        return not self._closed

    async def finish(self, remaining: float | None) -> None:
        """Wait for what was begun, and what that begins; cancel it when its time is over.

        `remaining`: seconds until the invocation's deadline; None: no deadline.
        """
        limit = self._limit if remaining is None else min(remaining, self._limit)
        end = asyncio.get_running_loop().time() + limit
        try:
            while self._tasks:
                left = end - asyncio.get_running_loop().time()
                if left <= 0:
                    self._emit([f"work given to wait_until was cancelled {limit:g} s after the response's end"])
                    break
                await asyncio.wait(self._tasks, timeout=left)
        finally:
            self._closed = True
            self.cancel()

    def cancel(self) -> None:
        """Give up what still runs."""
        for task in self._tasks or ():
            task.cancel()

    def _emit(self, lines: list[str]) -> None:
        self._log.emit(self._invocation, "log", "ERROR", lines)


async def _run(work: Work) -> Any:
    if inspect.isawaitable(work):
        return await work
    assert callable(work)
    result = await asyncio.to_thread(work)
    return await result if inspect.isawaitable(result) else result


def wait_until(work: Work) -> None:
    """Have `work` done besides the response, and after it: an awaitable, or a function to be called in a thread.

    The client does not wait for it (on a runtime that only returns whole values it does). It goes on when the client
    leaves, keeps the invocation's slot, and is cancelled at the invocation's deadline, or after 300 seconds. What it
    raises is logged. May be called from synchronous code too.

        async def fetch(request):
            wait_until(record_visit(request.headers.get("user-agent")))
            return Response("hello")

    Raises NoInvocation outside of an invocation, RuntimeError when that is over.
    """
    if not (inspect.isawaitable(work) or callable(work)):
        raise TypeError(f"wait_until takes an awaitable or a function, not {type(work).__name__}")
    invocation = context.current_invocation()
    scope = contextvars.copy_context()
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    if here is invocation.loop:
        invocation.background.add(work, scope)
        return

    async def add() -> None:
        invocation.background.add(work, scope)

    asyncio.run_coroutine_threadsafe(add(), invocation.loop).result()
