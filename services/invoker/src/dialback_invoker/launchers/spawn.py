"""Starts one worker's process: everything that blocks, in one function for a thread.

The order matters. The process is in its cgroup and its pid file is written before it gets its configuration, and it
runs no user code before that: neither a fork of the function's nor a crash of ours finds a gap.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dialback_invoker.launchers import environment, workspace
from dialback_invoker.launchers.asking import Forked
from dialback_invoker.launchers.base import WorkerControl, WorkerSpec
from dialback_invoker.launchers.cgroup import Base, Group
from dialback_invoker.launchers.start import Begin, NotBegun, Process, start

try:
    import resource
except ImportError:  # pragma: no cover - every platform that we run on has it
    resource = None  # type: ignore[assignment]

OOM_SCORE = b"500"
"""When the whole machine runs out of memory, the kernel shall take a worker and not the platform."""


@dataclass(frozen=True, slots=True)
class Spawned:
    """A process that runs, with our ends of its pipes."""

    process: Process
    pidfd: int | None
    """None where the system has none."""
    control_fd: int
    """Kept open as long as we live: its EOF tells the worker that we do not."""
    outputs: dict[str, int]
    """Reading ends: "stdout", "stderr", "log"."""
    group: Group | None

    def close(self) -> None:
        """Closes what nobody has taken over."""
        for handle in (self.control_fd, *self.outputs.values(), *(() if self.pidfd is None else (self.pidfd,))):
            os.close(handle)


def spawn(
    command: Sequence[str],
    folder: Path,
    spec: WorkerSpec,
    control: WorkerControl,
    home: Base | None,
    ways: Sequence[Begin] = (start,),
) -> Spawned:
    """Copies the code and starts the process, in the first of ``ways`` that leads to one. OSError when that fails; what
    was made by then is undone, but for the folder.
    """
    code = workspace.copy_code(spec.bundle, folder)
    for begin in ways[:-1]:
        try:
            return _begin(command, folder, code, spec, control, home, begin)
        except NotBegun:
            continue
    return _begin(command, folder, code, spec, control, home, ways[-1])


def _begin(
    command: Sequence[str],
    folder: Path,
    code: Path,
    spec: WorkerSpec,
    control: WorkerControl,
    home: Base | None,
    begin: Begin,
) -> Spawned:
    """One way, with pipes of its own: nobody knows who holds those of a way that failed."""
    opened: list[int] = []
    process: Process | None = None
    group: Group | None = None
    try:
        control_read, control_write = _pipe(opened)
        log_read, log_write = _pipe(opened)
        out_read, out_write = _pipe(opened)
        err_read, err_write = _pipe(opened)
        env = environment.environment(spec, control.worker_id, code, folder / "tmp")
        process = begin(
            environment.command(spec, command),
            cwd=code,
            env=environment.with_descriptors(env, control_read, log_write, closed=bool(spec.secrets)),
            stdin=subprocess.DEVNULL,
            stdout=out_write,
            stderr=err_write,
            pass_fds=(control_read, log_write),
        )
        for handle in (control_read, log_write, out_write, err_write):
            opened.remove(handle)
            os.close(handle)
        group = process.group if isinstance(process, Forked) else None
        if group is None and home is not None:
            group = enter(home, control.worker_id, spec.memory_mb, process.pid)
        restrict(process.pid)
        pidfd = _pidfd(process.pid, opened)
        workspace.PidFile.of(process.pid, group.folder if group else None).write(folder)
        _configure(control_write, environment.configuration(spec, control, folder / "runtime.sock"))
    except BaseException:
        if process is not None:
            process.kill()
            process.wait()
        for handle in opened:
            os.close(handle)
        if group is not None:
            group.remove()
        raise
    return Spawned(process, pidfd, control_write, {"stdout": out_read, "stderr": err_read, "log": log_read}, group)


def _pipe(opened: list[int]) -> tuple[int, int]:
    pair = os.pipe()
    opened.extend(pair)
    return pair


def enter(home: Base, name: str, memory_mb: int, pid: int) -> Group:
    """Puts a process into a cgroup of its own. OSError when that cannot be made where it should."""
    group = Group(home.folder / name, home)
    group.create(memory_mb * 1024 * 1024)
    try:
        group.add(pid)
    except OSError:
        group.remove()
        raise
    return group


def _configure(handle: int, line: bytes) -> None:
    """Writes the one line; a worker that has died already is found out by its exit."""
    try:
        while line:
            line = line[os.write(handle, line) :]
    except BrokenPipeError:
        pass


def _pidfd(pid: int, opened: list[int]) -> int | None:
    if not hasattr(os, "pidfd_open"):
        return None
    handle = os.pidfd_open(pid)
    opened.append(handle)
    return handle


def restrict(pid: int) -> None:
    """No core files, and first in line when memory ends. Both are courtesies: failing to set them is no failure."""
    try:
        if hasattr(resource, "prlimit"):
            resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
        score = os.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY)
    except (OSError, ValueError):
        return
    try:
        os.write(score, OOM_SCORE)
    except OSError:
        pass
    finally:
        os.close(score)
