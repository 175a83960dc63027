"""A worker's process while it runs: its output, its end, and the end of everything that it started.

A death is noticed through a pidfd (a waiting thread where there is none). The dead leader is reaped only after its
group got SIGKILL: until then its number cannot be given to anybody else.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterable
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from dialback_invoker.launchers import proc, workspace
from dialback_invoker.launchers.base import Exit, WorkerControl, WorkerSpec, why_it_ended
from dialback_invoker.launchers.memory import MemoryWatch, Watched
from dialback_invoker.launchers.output import Output, PipeReader
from dialback_invoker.launchers.spawn import Spawned
from dialback_invoker.read_pipe import read_pipe

LAST_WORDS = 0.03
"""Seconds to read on what a dead worker's pipes still hold; they end at once unless a process outside the group
has them.
"""


class ProcessWorker:
    """Implements `launchers.base.RunningWorker` for a process of this machine."""

    def __init__(
        self,
        spawned: Spawned,
        spec: WorkerSpec,
        control: WorkerControl,
        folder: Path,
        executor: Executor,
        watch: MemoryWatch | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._leader = proc.look(spawned.process.pid)
        self._spawned = spawned
        self._process = spawned.process
        self._group = spawned.group
        self._spec = spec
        self._folder = folder
        self._executor = executor
        self._exited: asyncio.Future[Exit] = self._loop.create_future()
        self._cause = ""
        self._oom = False
        self._dead = False
        self._output = Output(spec.function, control.worker_id, control.on_log, self._loop.time)
        self._readers = {name: PipeReader(name, self._output) for name in spawned.outputs}
        self._transports: list[asyncio.ReadTransport] = []
        self._connecting = self._loop.create_task(self._connect())
        self._cleaning: asyncio.Task[None] | None = None
        self._watch = watch
        members = self._group.pids if self._group is not None else None
        self._watched = Watched(self.pid, spec.memory_mb * 1024 * 1024, self._over_memory, members)
        if watch is not None:
            watch.add(self._watched)
        self._listen_for_death()

    @property
    def pid(self) -> int:
        """Of the leader, which is also the group's and the session's number."""
        return self._process.pid

    @property
    def exited(self) -> asyncio.Future[Exit]:
        """Resolves when the leader is dead."""
        return self._exited

    @property
    def folder(self) -> Path:
        """The worker's private folder, gone after `dispose`."""
        return self._folder

    def rss(self) -> int:
        """Resident bytes of all its processes that are known now."""
        if self._dead:
            return 0
        pids = self._group.pids() if self._group is not None else (self._watched.pids or (self.pid,))
        return sum(map(proc.resident, pids))

    async def pause(self) -> bool:
        """A process is not frozen: idle, it costs memory alone, and that a frozen one would, too."""
        return False

    async def resume(self) -> None:
        """It is never frozen."""

    async def terminate(self, grace: float) -> None:
        """SIGTERM to the group, SIGKILL to everything after ``grace`` seconds."""
        if not self._dead:
            self._cause = self._cause or "stopped by the platform"
            self._signal_group(signal.SIGTERM)
            await asyncio.wait([self._exited], timeout=grace)
        await self.kill()

    async def kill(self) -> None:
        """SIGKILL to the group, its descendants, and whoever left them."""
        if not self._dead:
            self._cause = self._cause or "was killed by the platform"
            try:
                await self._loop.run_in_executor(self._executor, self._kill_family)
            finally:
                self._signal_group(signal.SIGKILL)
        await asyncio.shield(self._exited)

    async def dispose(self) -> None:
        """Waits for the end, then until nothing is left."""
        await asyncio.shield(self._exited)
        assert self._cleaning is not None
        await asyncio.shield(self._cleaning)

    # the end

    def _listen_for_death(self) -> None:
        if self._spawned.pidfd is not None:
            self._loop.add_reader(self._spawned.pidfd, self._on_death)
            return

        def wait() -> None:
            if hasattr(os, "waitid"):
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            else:  # macOS before Python 3.13
                self._process.wait()
            self._loop.call_soon_threadsafe(self._on_death)

        threading.Thread(target=wait, name=f"wait-{self.pid}", daemon=True).start()

    def _on_death(self) -> None:
        if self._spawned.pidfd is not None:
            self._loop.remove_reader(self._spawned.pidfd)
            os.close(self._spawned.pidfd)
        self._signal_group(signal.SIGKILL)
        self._dead = True
        code = self._process.poll()
        os.close(self._spawned.control_fd)
        if self._watch is not None:
            self._watch.discard(self._watched)
        self._cleaning = self._loop.create_task(self._clean(code))

    async def _clean(self, code: int | None) -> None:
        if code is None:  # another process has to be asked
            code = await self._loop.run_in_executor(self._executor, self._process.wait)
        await asyncio.wait([self._connecting])
        endings = [reader.ended for reader in self._readers.values()]
        await asyncio.wait(endings, timeout=LAST_WORDS)
        self._exited.set_result(self._describe(code))
        await self._loop.run_in_executor(self._executor, self._remove_everything)
        for transport in self._transports:
            transport.close()
        await asyncio.wait(endings)

    def _describe(self, code: int | None) -> Exit:
        number = -code if code is not None and code < 0 else None
        killed = code is None or number == signal.SIGKILL
        oom = self._oom or (killed and self._group is not None and self._group.oom_kills() > 0)
        memory_mb = self._spec.memory_mb if oom else None
        reason = why_it_ended(code, number, cause=self._cause, memory_mb=memory_mb)
        return Exit(None if number else code, number, reason, self._output.tail(), oom)

    def _remove_everything(self) -> None:
        """For a thread: survivors, folder, cgroup."""
        self._kill_family()
        workspace.remove(self._folder)
        if self._group is not None:
            self._group.remove()

    def _kill_family(self) -> None:
        """For a thread: kills until nobody is found."""
        if self._group is not None:
            self._group.kill()
        proc.kill_all(self._find_family)

    def _find_family(self) -> Iterable[proc.Process]:
        table = proc.everyone()
        found = {p.pid: p for p in proc.marked(self._folder)}
        if self._leader is not None and any(self._leader.start == p.start for p in table if p.pid == self.pid):
            found |= {p.pid: p for p in proc.family(self.pid, table)}
        if self._group is not None:
            inside = set(self._group.pids())
            found |= {p.pid: p for p in table if p.pid in inside}
        return found.values()

    def _signal_group(self, number: int) -> None:
        """The group's number is ours as long as the leader is not reaped."""
        if self._dead:
            return
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # PermissionError: macOS, when only zombies are left

    def _over_memory(self, size: int) -> None:
        self._oom = True
        self._signal_group(signal.SIGKILL)

    async def _connect(self) -> None:
        """Reads the worker's pipes from now on."""
        for name, handle in self._spawned.outputs.items():
            self._transports.append(await read_pipe(partial(self._readers.__getitem__, name), handle))
