"""Which functions have processes that their workers fork from, how many at most, and for how long.

Such a process keeps memory that scaling to zero meant to free. So no more than ``most`` functions have any, the one
whose worker was started longest ago loses its first, and it ends when no worker was started for ``idle_seconds``. Each
may use as much memory as a worker of its function. Workers that run are not touched by any of this.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dialback_invoker.launchers import environment
from dialback_invoker.launchers.base import WorkerSpec
from dialback_invoker.launchers.nest import Nest, Site
from dialback_invoker.launchers.start import Begin
from dialback_invoker.worker import new_worker_id


@dataclass(frozen=True, slots=True)
class Bounds:
    """``most`` functions have a keeper and a zygote, 0: none; they end ``idle_seconds`` after the last start."""

    most: int
    idle_seconds: float = 900.0


NONE: Final = Bounds(0)


class Zygotes:
    """All methods belong to the loop's thread."""

    def __init__(self, site: Site, workers: Path, bounds: Bounds) -> None:
        """``workers`` is the folder of workers' folders, in which each keeper has one, too."""
        self._site = site
        self._workers = workers
        self._bounds = bounds
        self._nests: dict[int, Nest] = {}
        """The one that was used last stands last."""
        self._unfit: set[str] = set()
        """Deployments that cannot be imported in advance: found out, and said, once."""
        self._ending: set[Nest] = set()
        self._alarms: dict[Nest, asyncio.TimerHandle] = {}
        self._possible = bounds.most > 0 and can_fork()
        self._closed = False

    @property
    def nests(self) -> list[Nest]:
        """Those that workers may be started from."""
        return list(self._nests.values())

    def ways(self, spec: WorkerSpec) -> list[Begin]:
        """How a worker of it may begin that a fork can be; empty: a new process is the only way."""
        if not self._serves(spec):
            return []
        nest = self._of(spec)
        if nest is None:
            folder = self._workers / new_worker_id()
            nest = Nest(self._site, spec, folder, self._gone, unfit=spec.deployment in self._unfit)
        self._nests.pop(id(nest), None)
        self._nests[id(nest)] = nest
        while len(self._nests) > self._bounds.most:
            self._end(next(iter(self._nests.values())))
        self._set_alarm(nest)
        return nest.ways()

    def started(self, spec: WorkerSpec) -> None:
        """A worker of it is ready."""
        nest = self._of(spec)
        if nest is not None:
            nest.prepare()

    def let_go(self, spec: WorkerSpec) -> None:
        """Its deployment was removed, or replaced, or its environment is another one."""
        nest = self._of(spec)
        if nest is not None:
            self._end(nest)
        self._unfit.discard(spec.deployment)

    async def close(self) -> None:
        """End all. After the last worker's end."""
        self._closed = True
        for nest in self.nests:
            self._end(nest)
        for nest in tuple(self._ending):
            await nest.gone.wait()

    def _serves(self, spec: WorkerSpec) -> bool:
        # What a debugger is attached to is a process that was started for it.
        bridge = self._site.command == environment.COMMAND or spec.python is not None
        return self._possible and bridge and not spec.debugging and not self._closed

    def _of(self, spec: WorkerSpec) -> Nest | None:
        return next((nest for nest in self._nests.values() if nest.spec == spec), None)

    def _set_alarm(self, nest: Nest) -> None:
        if (alarm := self._alarms.pop(nest, None)) is not None:
            alarm.cancel()
        self._alarms[nest] = asyncio.get_running_loop().call_later(self._bounds.idle_seconds, self._end, nest)

    def _end(self, nest: Nest) -> None:
        self._forget(nest)
        if nest.unfit:
            self._unfit.add(nest.spec.deployment)
        if not nest.gone.is_set():
            self._ending.add(nest)
            nest.end()

    def _gone(self, nest: Nest) -> None:
        self._forget(nest)
        self._ending.discard(nest)

    def _forget(self, nest: Nest) -> None:
        self._nests.pop(id(nest), None)
        if (alarm := self._alarms.pop(nest, None)) is not None:
            alarm.cancel()


def can_fork() -> bool:
    """Whether this system has what it takes: Linux, with `/proc` and descriptors of processes (5.3)."""
    if not sys.platform.startswith("linux") or not os.path.exists("/proc/self/task"):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (OSError, AttributeError):
        return False
    return True
