"""Processes as `/proc` shows them: who belongs to whom, how much memory they hold, and signals that cannot hit the
wrong one.

A process is named by pid **and** start time, because pids are used again. Everything here reads `/proc` and is quick
for one process; what walks all of it takes milliseconds and belongs in a thread. Without `/proc` (macOS) the walks
find nothing.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
PAGE = os.sysconf("SC_PAGE_SIZE")
LOOKS = 2
DEATH_SECONDS = 1.0
"""How long a killed process may take to free its memory before we look again."""


@dataclass(frozen=True, slots=True)
class Process:
    """One line of `/proc/PID/stat`."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    start: int
    """Clock ticks since boot."""

    @property
    def zombie(self) -> bool:
        """Dead, waiting for its parent to notice."""
        return self.state in "ZX"


def look(pid: int) -> Process | None:
    """The process of that pid now, None when there is none."""
    try:
        text = (PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # "pid (comm) state ppid pgrp session ...": comm may hold spaces and parentheses, the last one closes it (proc(5))
    fields = text[text.rindex(b")") + 2 :].split()
    return Process(pid, fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def everyone() -> list[Process]:
    """Every process that can be seen."""
    return [process for name in _pids() if (process := look(name)) is not None]


def _pids() -> Iterator[int]:
    try:
        names = os.listdir(PROC)
    except OSError:
        return
    yield from (int(name) for name in names if name.isdigit())


def family(leader: int, table: Iterable[Process]) -> list[Process]:
    """The leader, its group and session, and all descendants of any of them that `/proc` still connects."""
    processes = list(table)
    inside = {p.pid for p in processes if leader in (p.pid, p.group, p.session)}
    grew = True
    while grew:
        more = {p.pid for p in processes if p.parent in inside} - inside
        inside |= more
        grew = bool(more)
    return [p for p in processes if p.pid in inside]


def marked(folder: Path, variable: str = "LAMBDA_TASK_ROOT") -> list[Process]:
    """Processes that were started with ``variable`` below ``folder``: a worker's or a build's, wherever they are.

    Children inherit it; also those that left the group and lost their parent. Only one that was given a new environment
    **and** did both of these is missed, and only where no cgroup tracks it. (A working folder proves nothing: a
    developer may look around there.) While somebody vanishes under our eyes and nobody is found, we look again.
    """
    needle = f"{variable}=".encode() + os.fsencode(folder) + b"/"
    found: list[Process] = []
    for _ in range(LOOKS):
        vanished = False
        for pid in _pids():
            process = look(pid)
            try:
                mine = needle in (PROC / str(pid) / "environ").read_bytes()
            except PermissionError:
                continue  # another user's
            except OSError:
                vanished = True
                continue
            if mine and process is not None and not process.zombie and pid != os.getpid():
                found.append(process)
        if found or not vanished:
            break
    return found


def kill_all(find: Callable[[], Iterable[Process]], rounds: int = 20) -> int:
    """Kills what ``find`` finds until nothing alive is left: a process may fork while we look. Blocks until then.

    Answers how many were hit.
    """
    hit = missed = 0
    groups: set[int] = set()
    for _ in range(rounds):
        alive = [p for p in find() if not p.zombie]
        groups |= {p.group for p in alive if p.group > 1} - {os.getpgrp()}
        handles = [handle for p in alive if (handle := _strike(p)) is not None]
        hit += len(handles)
        for group in groups:  # who forks and exits faster than we strike keeps its group; that is hit as a whole
            _kill_group(group)
        _await_deaths(handles)
        missed = 0 if alive else missed + 1
        if missed > 2 * bool(groups):  # whom we saw may be between two forms: looked for three times
            break
    return hit


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass


def _strike(process: Process) -> int | None:
    """SIGKILL to exactly this process. Answers a pidfd to wait on (-1: the system has none), None: it is gone."""
    try:
        if not hasattr(os, "pidfd_open"):
            if look(process.pid) != process:
                return None
            os.kill(process.pid, signal.SIGKILL)
            return -1
        handle = os.pidfd_open(process.pid)
    except OSError:
        return None
    try:
        # the handle pins whoever has the pid now; the start time says whether that is the one we mean
        now = look(process.pid)
        if now is not None and now.start == process.start:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            return handle
    except OSError:
        pass
    os.close(handle)
    return None


def _await_deaths(handles: list[int]) -> None:
    """Until all are dead, DEATH_SECONDS at most; closes the handles."""
    poller = select.poll()
    waiting = {handle for handle in handles if handle >= 0}
    for handle in waiting:
        poller.register(handle, select.POLLIN)
    until = time.monotonic() + DEATH_SECONDS
    while waiting and (left := until - time.monotonic()) > 0:
        for handle, _ in poller.poll(left * 1000):
            poller.unregister(handle)
            os.close(handle)
            waiting.discard(handle)
    for handle in waiting:
        os.close(handle)


def resident(pid: int) -> int:
    """Resident bytes of a process, 0 when it is gone."""
    try:
        return int((PROC / str(pid) / "statm").read_bytes().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def proportional(pid: int) -> int:
    """Resident bytes, each shared page counted by its share (PSS). Slower; falls back to `resident`."""
    try:
        for line in (PROC / str(pid) / "smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resident(pid)
