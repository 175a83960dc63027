"""Holds memory limits where no cgroup does: looks at resident sizes ten times a second and reports who is over.

A fast allocator gets past its limit by what it can touch in a tenth of a second. RLIMIT_AS is no way out: it counts
address space, of which threads and runtimes reserve far more than they use.

Many processes that share pages (forks) are first summed up roughly, and counted exactly (PSS) only when the sum is
over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from dialback_invoker.launchers import proc

INTERVAL = 0.1
WALK_EVERY = 10
"""Ticks between walks of all /proc in search of new children."""


@dataclass(eq=False, slots=True)
class Watched:
    """A worker under watch."""

    leader: int
    limit: int
    """Bytes."""
    on_over: Callable[[int], None]
    """Called once, on the loop, with the bytes that were found."""
    members: Callable[[], list[int]] | None = None
    """All of its processes where a cgroup knows them."""
    pids: tuple[int, ...] = ()
    over: bool = False

    def measure(self) -> int:
        """Resident bytes of all its processes."""
        pids = self.members() if self.members is not None else (self.pids or (self.leader,))
        size = sum(map(proc.resident, pids))
        if size > self.limit and len(pids) > 1:
            size = sum(map(proc.proportional, pids))
        return size


class MemoryWatch:
    """Watches workers while there are any; one timer for all."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._watched: set[Watched] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, watched: Watched) -> None:
        """Starts to watch."""
        self._watched.add(watched)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    def discard(self, watched: Watched) -> None:
        """Stops to watch."""
        self._watched.discard(watched)
        if not self._watched and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        ticks = 0
        while True:
            everyone = tuple(self._watched)
            for watched, size in await loop.run_in_executor(self._executor, sample, everyone, ticks % WALK_EVERY == 0):
                if watched in self._watched and not watched.over:
                    watched.over = True
                    watched.on_over(size)
            ticks += 1
            await asyncio.sleep(INTERVAL)


def sample(everyone: tuple[Watched, ...], walk: bool) -> list[tuple[Watched, int]]:
    """Who is over, with how many bytes. For a thread."""
    if walk and any(watched.members is None for watched in everyone):
        table = proc.everyone()
        for watched in everyone:
            watched.pids = tuple(process.pid for process in proc.family(watched.leader, table))
    return [(watched, size) for watched in everyone if (size := watched.measure()) > watched.limit]
