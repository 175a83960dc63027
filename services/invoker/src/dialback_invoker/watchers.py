"""Who watches the platform live: what ended and what was printed is put down for each, within bounds.

While nobody watches nothing is put down and nothing is computed. A watcher that does not keep up misses the oldest
things, and is told how many.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from dialback_invoker.errors import Overloaded
from dialback_invoker.store.port import LogLine, Trace

MOST_WATCHERS: Final = 64
MOST_ENDED: Final = 256
"""Ended invocations that wait for one watcher."""
MOST_LINES: Final = 1024


@dataclass(frozen=True, slots=True)
class News:
    """What happened since the last look, oldest first, and how much of it was missed."""

    ended: list[Trace]
    ended_missed: int
    lines: list[LogLine]
    lines_missed: int
    workers: bool
    """whether a worker changed its state"""


class Watcher:
    """One who watches. Made by `Watchers.join`, given back by `leave`."""

    def __init__(self) -> None:
        self.closed = False
        self._ended: deque[Trace] = deque()
        self._ended_missed = 0
        self._lines: deque[LogLine] = deque()
        self._lines_missed = 0
        self._workers = True
        self._news = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Return when there is news, or after ``seconds``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    def take(self) -> News:
        """All news, once."""
        news = News(list(self._ended), self._ended_missed, list(self._lines), self._lines_missed, self._workers)
        self._ended.clear()
        self._lines.clear()
        self._ended_missed = self._lines_missed = 0
        self._workers = False
        if not self.closed:
            self._news.clear()
        return news

    def ended(self, summary: Trace) -> None:
        """An invocation is over."""
        if len(self._ended) >= MOST_ENDED:
            self._ended.popleft()
            self._ended_missed += 1
        self._ended.append(summary)
        self._news.set()

    def line(self, line: LogLine) -> None:
        """A function printed a line."""
        if len(self._lines) >= MOST_LINES:
            self._lines.popleft()
            self._lines_missed += 1
        self._lines.append(line)
        self._news.set()

    def worker_changed(self) -> None:
        """A worker came, went, or is in another state."""
        self._workers = True

    def close(self) -> None:
        """There will be no more news."""
        self.closed = True
        self._news.set()


class Watchers:
    """Everybody who watches; false while that is nobody. All calls come on the loop's thread."""

    def __init__(self, most: int = MOST_WATCHERS) -> None:
        self._most = most
        self._all: set[Watcher] = set()
        self._closed = False

    def __bool__(self) -> bool:
        return bool(self._all)

    def join(self) -> Watcher:
        """Begin to watch. Raises Overloaded when too many do."""
        if self._closed or len(self._all) >= self._most:
            why = "the platform is stopping" if self._closed else f"{self._most} already watch"
            raise Overloaded(f"{why}; close a page that shows this platform", code="too_many_watchers", retry_after=5)
        watcher = Watcher()
        self._all.add(watcher)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Stop watching; harmless when repeated."""
        self._all.discard(watcher)

    def ended(self, summary: Trace) -> None:
        """Tell everybody of an invocation that is over."""
        self._each(lambda watcher: watcher.ended(summary))

    def line(self, line: LogLine) -> None:
        """Tell everybody of a line of a log."""
        self._each(lambda watcher: watcher.line(line))

    def worker_changed(self) -> None:
        """Tell everybody that the workers are to be looked at again."""
        if self._all:
            self._each(Watcher.worker_changed)

    def close(self) -> None:
        """End every watch, and let nobody begin another."""
        self._closed = True
        self._each(Watcher.close)

    def _each(self, tell: Callable[[Watcher], None]) -> None:
        for watcher in self._all:
            tell(watcher)
