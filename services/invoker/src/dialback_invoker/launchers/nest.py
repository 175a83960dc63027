"""Where the workers of one function fork: its keeper, its zygote when there is one, and an egg (`launchers.keeper`).

A start takes the egg, or else the zygote, or else the keeper, or else it is a new process: a worker that finds none of
them starts slower, and that is all. A zygote is made a moment after the first worker is ready, and an egg a moment
after each. A function that cannot be imported in advance has no zygote, and the reason stands in its log once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, Unpack

from dialback_invoker.launchers import workspace
from dialback_invoker.launchers.asking import Forked, Line, answer_of, fork, order
from dialback_invoker.launchers.base import LogLine, OnLog, WorkerSpec, why_it_ended
from dialback_invoker.launchers.cgroup import Base
from dialback_invoker.launchers.keeper import Egg, Keeper, Unfit, Zygote, hatch, lay, start_keeper
from dialback_invoker.launchers.memory import MemoryWatch, Watched
from dialback_invoker.launchers.output import Output, PipeReader
from dialback_invoker.launchers.start import Begin, How, NotBegun, Process
from dialback_invoker.read_pipe import read_pipe

IMPORT_AFTER = 0.2
"""Seconds from when a worker is ready until the function is imported in advance: its first request comes first."""
EGG_AFTER = 0.2
"""Seconds from when a worker is ready until there is an egg again."""
IMPORT_SECONDS = 60.0
"""For the import in advance."""
FORK_SECONDS = 5.0
"""For a zygote's answer, which takes milliseconds."""
MOST_DEATHS = 3
"""Zygotes that die unbidden before no other is made."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Site:
    """What all nests of a launcher share. ``watch`` holds memory limits where no cgroup does."""

    command: tuple[str, ...]
    executor: Executor
    home: Base | None
    watch: MemoryWatch | None
    on_log: OnLog


class Nest:
    """Made, asked for `ways`, and ended on the loop's thread; a way is gone in any."""

    def __init__(
        self, site: Site, spec: WorkerSpec, folder: Path, on_gone: Callable[[Nest], None], *, unfit: bool = False
    ) -> None:
        """``folder``: its own, to be made; ``on_gone`` is told when it has ended, of itself or not; ``unfit``: it is
        known that the function cannot be imported in advance.
        """
        self.spec = spec
        self.unfit = unfit or spec.preload == "off"
        """Whether there will be no zygote."""
        self.ready = asyncio.Event()
        """Set when no import in advance is under way: there is a zygote, or there will be none."""
        self.gone = asyncio.Event()
        """Nothing is left of it."""
        self._dead = asyncio.Event()
        self._site = site
        self._folder = folder
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._keeper: Keeper | None = None
        self._zygote: Zygote | None = None
        self._egg: Egg | None = None
        self._eggs = 0
        self._living = 0
        """Forks whose end somebody will ask for, and those who are about to fork."""
        self._deaths = 0
        self._ending = False
        self._preloading: asyncio.Task[None] | None = None
        self._laying: asyncio.Task[None] | None = None
        self._finishing: asyncio.Task[None] | None = None
        self._clearing: set[asyncio.Task[None]] = set()
        self._transports: list[asyncio.ReadTransport] = []

    @property
    def pids(self) -> tuple[int, ...]:
        """Of keeper, zygote and egg, as far as there are any."""
        keeper = () if self._keeper is None else (self._keeper.process.pid,)
        others = (self._zygote if self.ready.is_set() else None, self._egg)
        return (*keeper, *(other.pid for other in others if other is not None))

    @property
    def imported(self) -> str:
        """What a fork finds imported: `bridge`, or `function` when there is a zygote."""
        return "function" if self._zygote is not None and self.ready.is_set() else "bridge"

    def ways(self) -> list[Begin]:
        """How a worker may begin, the quickest first."""
        zygote = self._zygote if self.ready.is_set() else None
        return [self._from_egg, *([] if zygote is None else [partial(self._fork, zygote.line)]), self._from_keeper]

    def end(self) -> None:
        """No worker is to be started from here. Does not wait; `gone` says when nothing is left."""
        if not self._ending:
            self._ending = True
            self._end_zygote()
            if (egg := self._take_egg()) is not None:
                self._clear_up(self._discard(egg))
            self._finish_if_done()

    # a worker's way, in a thread

    def _from_egg(self, command: Sequence[str], **how: Unpack[How]) -> Process:
        with self._counted():
            egg = self._take_egg()
            if egg is None:
                raise NotBegun("there is no egg")
            try:
                order(egg.turn, self._folder.name, command, **how)
            except NotBegun:
                if self._keeper is not None:
                    egg.drop(self._keeper)
                raise
            return Forked(egg.pid, self._reap, egg.group)

    def _from_keeper(self, command: Sequence[str], **how: Unpack[How]) -> Process:
        return self._fork(None, command, **how)

    def _fork(self, line: Line | None, command: Sequence[str], **how: Unpack[How]) -> Process:
        """``line``: the zygote's; None: the keeper's, which is started if it is not there."""
        with self._counted():
            with self._lock:
                if self._keeper is None:
                    self._start(command)
                assert self._keeper is not None
                asked = line or self._keeper.line
            return Forked(fork(asked, self._folder.name, command, **how), self._reap)

    def _take_egg(self) -> Egg | None:
        with self._lock:
            egg, self._egg = self._egg, None
            return egg

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        """One more lives from here on, unless it does not come to be."""
        with self._lock:
            if self._ending:
                raise NotBegun("nothing is forked here any more")
            self._living += 1
        try:
            yield
        except BaseException:
            self._count_down()
            raise

    def _reap(self, pid: int) -> int | None:
        try:
            return None if self._keeper is None else self._keeper.reap(pid)
        finally:
            self._count_down()

    def _count_down(self) -> None:
        with self._lock:
            self._living -= 1
        self._loop.call_soon_threadsafe(self._finish_if_done)

    def _start(self, command: Sequence[str]) -> None:
        """Under the lock."""
        home = self._site.home
        group = None if home is None else home.folder / self._folder.name
        try:
            self._keeper = start_keeper(command, self.spec, self._folder, group)
        except NotBegun:
            self._ending = True
            raise
        self._loop.call_soon_threadsafe(self._started, self._keeper)

    # the keeper

    def _started(self, keeper: Keeper) -> None:
        self._loop.add_reader(keeper.pidfd, self._keeper_died, keeper)
        output = Output(self.spec.function, self._folder.name, self._site.on_log, self._loop.time)
        for name, handle in keeper.outputs.items():
            self._clear_up(self._connect(PipeReader(name, output), handle))

    async def _connect(self, reader: PipeReader, handle: int) -> None:
        self._transports.append(await read_pipe(lambda: reader, handle))

    def _keeper_died(self, keeper: Keeper) -> None:
        self._loop.remove_reader(keeper.pidfd)
        os.close(keeper.pidfd)
        code = keeper.process.wait()  # a zombie: does not wait
        self._dead.set()
        if not self._ending:
            self._tell("WARNING", f"the keeper of its workers {_end_of(code)}; the next start is slower")
            self._ending = True
            self._end_zygote()
        if self._finishing is None:
            self._finishing = self._loop.create_task(self._finish())

    def prepare(self) -> None:
        """A worker is ready: makes the next start quick."""
        if self._ending or self._keeper is None:
            return
        if self.unfit:
            self.ready.set()
        elif self._zygote is None and self._preloading is None:
            self._preloading = self._loop.create_task(self._preload())
        if self._laying is None:
            self._laying = self._loop.create_task(self._lay())

    # the zygote

    async def _preload(self) -> None:
        try:
            await asyncio.sleep(IMPORT_AFTER)
            await self._import()
        except Unfit as unfit:
            self._declare_unfit("INFO", str(unfit))
        except NotBegun:
            pass  # the keeper has died, and that is told elsewhere
        except OSError as error:
            self._declare_unfit("WARNING", str(error))
        finally:
            self._preloading = None

    async def _import(self) -> None:
        assert self._keeper is not None
        job = self._in_thread(partial(hatch, self._keeper, self.spec, self._folder, self._site.home))
        try:
            zygote = await asyncio.shield(job)
        except asyncio.CancelledError:
            self._clear_up(self._abandon(job))
            raise
        self._attend(zygote)
        self._zygote = zygote
        try:
            async with asyncio.timeout(IMPORT_SECONDS):
                said = answer_of(await self._loop.sock_recv(zygote.line.turn, 65_536))
        except TimeoutError:
            said = {"unfit": f"takes longer than {IMPORT_SECONDS:g} seconds"}
        except (OSError, ValueError):
            return  # it has died, and that is noticed elsewhere
        zygote.line.turn.settimeout(FORK_SECONDS)
        if self._zygote is zygote:
            if "unfit" in said:
                self._zygote = None
                zygote.kill()
                self.unfit = True
                if not said.get("told"):
                    self._declare_unfit("INFO", f"its import {said['unfit']}")
            self.ready.set()

    def _attend(self, zygote: Zygote) -> None:
        """Wait for its end from now on."""
        dead = self._loop.create_future()
        self._loop.add_reader(zygote.pidfd, dead.set_result, None)
        self._clear_up(self._see_off(zygote, dead))

    async def _abandon(self, job: asyncio.Future[Zygote]) -> None:
        """Nobody wants the zygote that a thread is making."""
        with contextlib.suppress(OSError):
            zygote = await job
            self._attend(zygote)
            zygote.kill()

    def _too_large(self, zygote: Zygote) -> None:
        if self._zygote is zygote:
            self._zygote = None
            zygote.kill()
            self._declare_too_large()

    def _declare_too_large(self) -> None:
        self._declare_unfit("WARNING", f"in advance it takes more than its {self.spec.memory_mb} MB of memory")

    def _declare_unfit(self, level: str, why: str) -> None:
        self.unfit = True
        self._tell(level, f"its workers import it themselves: {why}")
        self.ready.set()

    def _end_zygote(self) -> None:
        if self._preloading is not None:
            self._preloading.cancel()
        if self._laying is not None:
            self._laying.cancel()
        if self._zygote is not None:
            self._zygote.kill()
            self._zygote = None

    async def _see_off(self, zygote: Zygote, dead: asyncio.Future[None]) -> None:
        members = None if zygote.group is None else zygote.group.pids
        limit = self.spec.memory_mb * 1024 * 1024
        watched = Watched(zygote.pid, limit, lambda _: self._too_large(zygote), members)
        if self._site.watch is not None:
            self._site.watch.add(watched)
        await dead
        self._loop.remove_reader(zygote.pidfd)
        if self._site.watch is not None:
            self._site.watch.discard(watched)
        if self._preloading is not None:
            await asyncio.wait([self._preloading])  # which may be about to read why it ended
        unbidden = self._zygote is zygote
        if unbidden:
            self._zygote = None
            self.ready.clear()
            self._deaths += 1
        assert self._keeper is not None
        code, oom = await self._in_thread(partial(zygote.clear, self._keeper))
        if not unbidden:
            return
        if oom:
            self._declare_too_large()
        elif self._deaths >= MOST_DEATHS:
            self._declare_unfit("WARNING", f"its zygote {_end_of(code)}, and so did those before")
        else:
            self._tell("WARNING", f"its zygote {_end_of(code)}; the next start is slower")

    # the egg

    async def _lay(self) -> None:
        try:
            await asyncio.sleep(EGG_AFTER)
            await self.ready.wait()
            keeper, zygote = self._keeper, self._zygote
            if keeper is None or self._egg is not None:
                return
            self._eggs += 1
            name = f"{self._folder.name}-{self._eggs}"
            line = keeper.line if zygote is None else zygote.line
            job = self._in_thread(partial(lay, line, name, self.spec, self._site.home))
            try:
                egg = await asyncio.shield(job)
            except asyncio.CancelledError:
                self._clear_up(self._drop(job))
                raise
            with self._lock:
                self._egg = egg
        except OSError:
            pass  # whoever died is told of elsewhere
        finally:
            self._laying = None

    async def _drop(self, job: asyncio.Future[Egg]) -> None:
        with contextlib.suppress(OSError):
            await self._discard(await job)

    async def _discard(self, egg: Egg) -> None:
        assert self._keeper is not None
        await self._in_thread(partial(egg.drop, self._keeper))

    # the end

    def _finish_if_done(self) -> None:
        if self._ending and self._living == 0 and self._finishing is None:
            self._finishing = self._loop.create_task(self._finish())

    async def _finish(self) -> None:
        await self._settled()
        if self._keeper is not None:
            await self._in_thread(partial(self._dismiss, self._keeper))
            await self._dead.wait()
        await self._settled()
        for transport in self._transports:
            transport.close()
        self.ready.set()
        self.gone.set()
        self._on_gone(self)

    async def _settled(self) -> None:
        while running := [task for task in (self._preloading, self._laying, *self._clearing) if task is not None]:
            await asyncio.wait(running)

    def _dismiss(self, keeper: Keeper) -> None:
        if (egg := self._take_egg()) is not None:
            egg.drop(keeper)
        keeper.dismiss()
        workspace.remove(self._folder)

    def _in_thread(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return self._loop.run_in_executor(self._site.executor, work)

    def _clear_up(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._clearing.add(task)
        task.add_done_callback(self._clearing.discard)

    def _tell(self, level: str, text: str) -> None:
        self._site.on_log(LogLine(self.spec.function, self._folder.name, "", "platform", level, text))


def _end_of(code: int | None) -> str:
    number = -code if code is not None and code < 0 else None
    return why_it_ended(None if number else code, number, cause="", memory_mb=None)
