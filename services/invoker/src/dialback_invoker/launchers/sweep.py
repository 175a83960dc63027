"""What an earlier invoker left behind when it was killed: its workers' processes, folders, sockets and cgroups.

Workers end by themselves when the control pipe breaks; the sweep is for those that could not. Only the holder of the
data folder's lock may sweep, or it would kill the workers of a living invoker.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dialback_invoker.launchers import cgroup, proc, workspace


@dataclass(frozen=True, slots=True)
class Swept:
    """What was found."""

    workers: int
    """Folders of workers."""
    processes: int
    """Processes that had to be killed."""


def sweep(run_dir: Path) -> Swept:
    """Kills and removes all of it. Blocks for as long as that takes: milliseconds, when there is nothing to do.

    A pid alone is never trusted: the leader must have the recorded start time; of the others, those count that have the
    leader's group or session while it lives, the mark of the folder in their environment, or the worker's cgroup.
    """
    root = workspace.workers_folder(run_dir)
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.is_symlink()) if root.is_dir() else []
    killed = 0
    boot = workspace.boot_id()
    for folder in folders:
        pid_file = workspace.PidFile.read(folder)
        if pid_file is not None and pid_file.boot != boot:
            pid_file = None  # the machine was started anew: those processes are gone
        killed += _kill(folder, pid_file)
        if pid_file is not None and ours(pid_file.cgroup):
            cgroup.remove(Path(pid_file.cgroup))
        workspace.remove(folder)
    if folders:
        # workers whose folder was removed half-way, or who never got a pid file
        killed += proc.kill_all(lambda: proc.marked(root))
    return Swept(len(folders), killed)


def _kill(folder: Path, pid_file: workspace.PidFile | None) -> int:
    def find() -> Iterable[proc.Process]:
        table = proc.everyone()
        found = {p.pid: p for p in proc.marked(folder)}
        if pid_file is not None:
            leader = proc.look(pid_file.pid)
            if leader is not None and leader.start == pid_file.start:
                found |= {p.pid: p for p in proc.family(pid_file.pid, table)}
            found |= {p.pid: p for p in members(pid_file.cgroup)}
        return found.values()

    return proc.kill_all(find)


def ours(folder: str) -> bool:
    """Whether a recorded cgroup can be one that we made."""
    return bool(folder) and Path(folder).parent.name.startswith(cgroup.HOME)


def members(folder: str) -> list[proc.Process]:
    """The processes of a recorded cgroup, if that is one of ours."""
    if not ours(folder):
        return []
    group = cgroup.Group(Path(folder), cgroup.Base(Path(folder).parent, 2, False))
    return [process for pid in group.pids() if (process := proc.look(pid)) is not None]
