"""Sources under way, and the bounded queues between them and one consumer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

from ..waiters import Waiters
from .source import Source, drain


class _Lane:
    """Items that wait in order, of one source or of several."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.items: deque[Any] = deque()
        self.room = Waiters()
        self.open = 0
        """How many sources may still add to it."""


class Fan:
    """Runs `sources` at the same time. `size` items wait, of each or, with `one_lane`, of all.

    Make it on a loop, and `stop` it in any case.
    """

    def __init__(self, sources: Sequence[Source], *, one_lane: bool, size: int) -> None:
        self._news = Waiters()
        self._failure: BaseException | None = None
        self._stopped = False
        self._tasks: dict[asyncio.Task[None], _Lane] = {}
        shared = _Lane(size)
        self._lanes: deque[_Lane] = deque([shared] if one_lane else ())
        for source in sources:
            lane = shared if one_lane else _Lane(size)
            if not one_lane:
                self._lanes.append(lane)
            lane.open += 1
            task = asyncio.ensure_future(self._run(source, lane))
            self._tasks[task] = lane

    async def _run(self, source: Source, lane: _Lane) -> None:
        async def put(item: Any) -> None:
            while len(lane.items) >= lane.size:
                await lane.room.wait()
            lane.items.append(item)
            self._news.wake()

        try:
            await drain(source, put)
        except asyncio.CancelledError:
            if self._stopped:
                raise
            # What it awaited was cancelled, and not by us: a stream that lacks the rest must not look whole.
            self._fail(RuntimeError("the source was cancelled by its own code"))
        except BaseException as error:
            self._fail(error)
        finally:
            lane.open -= 1
            self._news.wake()

    def _fail(self, error: BaseException) -> None:
        """The first one counts."""
        if self._failure is None:
            self._failure = error

    def take(self) -> tuple[Any] | None:
        """The next item, in a tuple; None when there is none now. Raises what a source raised, behind its items."""
        lane = self._lanes[0] if self._lanes else None
        if lane is not None and lane.items:
            item = lane.items.popleft()
            lane.room.wake()
            return (item,)
        if self._failure is not None:
            raise self._failure
        return None

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        while self._lanes and not self._lanes[0].open and not self._lanes[0].items:
            self._lanes.popleft()
        return not self._lanes and self._failure is None

    async def wait(self, timeout: float | None = None) -> None:
        """Wait for something to change, at most `timeout` seconds."""
        await self._news.wait(timeout)

    async def stop(self) -> None:
        """Cancel every source, and wait until the `finally` of each has run."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for task in self._tasks:
            if not task.cancelled():
                task.exception()
