"""Collects things on the event loop and stores them in batches behind it: `put` never waits and never fails.

When the store is slower than what comes, or fails, things are dropped and counted: requests are served all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Batcher(Generic[T]):
    """A bounded queue and the task that empties it into ``write``, at most ``batch`` things at a time.

    ``pause`` seconds pass between two batches, so that a flood becomes few large transactions; a `flush` does not wait
    for it. ``what`` names the things in warnings.
    """

    def __init__(
        self,
        write: Callable[[Sequence[T]], Awaitable[None]],
        what: str,
        *,
        capacity: int = 4096,
        batch: int = 1024,
        pause: float = 0.05,
    ) -> None:
        self._write = write
        self._what = what
        self._capacity = capacity
        self._batch = batch
        self._pause = pause
        self._queue: deque[T] = deque()
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._accepted = 0
        self._settled = 0  # stored or dropped, of those accepted
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()  # how many must be settled, who waits for it
        self._task: asyncio.Task[None] | None = None
        self._failing = False
        self.dropped = 0

    @property
    def full(self) -> bool:
        """Whether the next thing would be dropped."""
        return len(self._queue) >= self._capacity

    def put(self, thing: T) -> bool:
        """Queue ``thing``; False, and counted in `dropped`, when there is no room."""
        queue = self._queue
        if len(queue) >= self._capacity:
            self.dropped += 1
            return False
        if not queue:
            self._wake.set()
        queue.append(thing)
        self._accepted += 1
        return True

    def start(self) -> None:
        """Begin to empty the queue; needs a running loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"store {self._what}")

    async def flush(self) -> None:
        """Return when all that is queued now is stored, or dropped. Before `start` and after `close`, at once."""
        if self._task is None or self._task.done() or self._settled == self._accepted:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append((self._accepted, waiter))
        self._hurry.set()
        await waiter

    async def close(self) -> None:
        """Store what is queued, then stop."""
        await self.flush()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                things = [self._queue.popleft() for _ in range(min(self._batch, len(self._queue)))]
                await self._store(things)
                self._settled += len(things)
                self._answer()
                await self._rest()

    def _answer(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._settled:
            _, waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
        if not self._waiting:
            self._hurry.clear()

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pause):
                await self._hurry.wait()

    async def _store(self, things: Sequence[T]) -> None:
        try:
            await self._write(things)
        except Exception as error:
            self.dropped += len(things)
            if not self._failing:
                _log.warning("%s are dropped until the store works again: %s", self._what, error)
            self._failing = True
        else:
            self._failing = False
