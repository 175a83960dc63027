"""The `process` launcher: a worker is a process of this machine, in a session of its own.

It is no sandbox: functions run as the user who runs Dialback. What it does promise: a worker inherits nothing, has
its own copy of its code, cannot exceed its memory for long, and leaves nothing behind, however it ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dialback_invoker.launchers import cgroup, environment, workspace
from dialback_invoker.launchers.base import LaunchFailed, OnLog, WorkerControl, WorkerSpec
from dialback_invoker.launchers.memory import MemoryWatch
from dialback_invoker.launchers.nest import Site
from dialback_invoker.launchers.process_worker import ProcessWorker
from dialback_invoker.launchers.spawn import Spawned, spawn
from dialback_invoker.launchers.start import Start, start
from dialback_invoker.launchers.sweep import Swept, sweep
from dialback_invoker.launchers.zygotes import NONE, Bounds, Zygotes

THREADS = 8


class ProcessLauncher:
    """Starts workers as processes, their folders below ``run_dir``.

    ``cgroup_root`` names a cgroup that is ours to divide; without it one is looked for (see `launchers.cgroup`);
    ``use_cgroups=False`` does without. ``command`` is what runs a worker, ``begin`` how a process is started where none
    is forked. ``bounds`` are those of the processes that workers fork from; what these have to say goes to ``on_log``.
    """

    name = "process"

    def __init__(
        self,
        run_dir: Path,
        *,
        command: Sequence[str] = environment.COMMAND,
        cgroup_root: Path | None = None,
        use_cgroups: bool = True,
        begin: Start = start,
        bounds: Bounds = NONE,
        on_log: OnLog = lambda _: None,
    ) -> None:
        self.run_dir = run_dir
        self._command = tuple(command)
        self._begin = begin
        self._executor = ThreadPoolExecutor(THREADS, "launcher")
        self._watch = MemoryWatch(self._executor)
        self._home: cgroup.Base | None = None
        base = cgroup.find_base(cgroup_root) if use_cgroups else None
        if base is not None:
            self._home = cgroup.find_home(base, hashlib.sha256(os.fsencode(run_dir.absolute())).hexdigest()[:8])

        watch = None if self.memory_enforcement == "cgroup" else self._watch
        site = Site(self._command, self._executor, self._home, watch, on_log)
        self.zygotes = Zygotes(site, workspace.workers_folder(run_dir), bounds)

    @property
    def memory_enforcement(self) -> str:
        """ "cgroup": the kernel holds the limit. "watch": we look at the resident size ten times a second."""
        return "cgroup" if self._home is not None and self._home.memory else "watch"

    @property
    def tracking(self) -> str:
        """ "cgroup": the kernel knows a worker's processes wherever they go. "proc": we look for them in /proc."""
        return "cgroup" if self._home is not None else "proc"

    async def sweep(self) -> Swept:
        """Ends and removes what an earlier invoker left in the run folder. Only for the holder of the data
        folder's lock.
        """
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._sweep)

    def _sweep(self) -> Swept:
        swept = sweep(self.run_dir)
        if self._home is not None:
            cgroup.sweep_homes(self._home.folder.parent)
        return swept

    async def prepare(self, worker_id: str) -> Path:
        """Makes the worker's folder; answers where its runtime API listens."""
        folder = self._folder(worker_id)
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, workspace.make, folder)
        except OSError as error:
            raise LaunchFailed(f"cannot make the worker's folder {folder}: {error.strerror or error}") from error
        return folder / "runtime.sock"

    async def launch(self, spec: WorkerSpec, control: WorkerControl) -> ProcessWorker:
        """Starts a worker in the folder that `prepare` made. Raises LaunchFailed."""
        loop = asyncio.get_running_loop()
        folder = self._folder(control.worker_id)
        ways = (*self.zygotes.ways(spec), self._begin)
        job = loop.run_in_executor(self._executor, spawn, self._command, folder, spec, control, self._home, ways)
        try:
            spawned = await asyncio.shield(job)
        except asyncio.CancelledError:
            await self._abandon(job, spec, control)
            raise
        except OSError as error:
            what = f" ({error.filename})" if error.filename else ""
            raise LaunchFailed(f"cannot start a worker of {spec.function}: {error.strerror or error}{what}") from error
        return self._worker(spawned, spec, control)

    async def discard(self, worker_id: str) -> None:
        """Removes the folder of a worker that never ran."""
        await asyncio.get_running_loop().run_in_executor(self._executor, workspace.remove, self._folder(worker_id))

    def started(self, spec: WorkerSpec) -> None:
        """Makes ready what the next worker forks from."""
        self.zygotes.started(spec)

    def let_go(self, spec: WorkerSpec) -> None:
        """Ends what its workers fork from."""
        self.zygotes.let_go(spec)

    async def close(self) -> None:
        """After the last worker's `dispose`: ends what workers fork from, frees the threads, removes our cgroup."""
        await self.zygotes.close()
        if self._home is not None:
            cgroup.remove(self._home.folder)
        await asyncio.to_thread(self._executor.shutdown)

    async def _abandon(self, job: asyncio.Future[Spawned], spec: WorkerSpec, control: WorkerControl) -> None:
        """Nobody wants the worker that a thread is starting: lets the thread finish, then ends what it made."""
        try:
            spawned = await job
        except OSError:
            return
        worker = self._worker(spawned, spec, control)
        await worker.kill()
        await worker.dispose()

    def _worker(self, spawned: Spawned, spec: WorkerSpec, control: WorkerControl) -> ProcessWorker:
        watch = None if self.memory_enforcement == "cgroup" else self._watch
        folder = self._folder(control.worker_id)
        return ProcessWorker(spawned, spec, control, folder, self._executor, watch)

    def _folder(self, worker_id: str) -> Path:
        return workspace.workers_folder(self.run_dir) / worker_id
