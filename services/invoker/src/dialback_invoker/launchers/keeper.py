"""The process that a function's workers fork from, and the forks that are kept ready: what blocks, for threads.

A **keeper** has imported the bridge, runs nothing of the function's, and is the parent of all workers. A **zygote** is
a fork of it that has imported the function. An **egg** is a fork of either that waits to be told which worker it is:
what takes longest about a fork, the fork itself and the way into a cgroup, has been done then.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dialback_invoker.launchers import environment, workspace
from dialback_invoker.launchers.asking import Line, pid_of
from dialback_invoker.launchers.base import WorkerSpec
from dialback_invoker.launchers.cgroup import Base, Group
from dialback_invoker.launchers.spawn import enter, restrict
from dialback_invoker.launchers.start import NotBegun, start

END_SECONDS = 2.0
"""For a keeper to end by itself."""


@dataclass(slots=True)
class Keeper:
    """The process, its socket, and what it and its zygote say."""

    process: subprocess.Popen[bytes]
    line: Line
    pidfd: int
    outputs: dict[str, int]
    """Reading ends: "stdout", "stderr", "log"."""
    log_write: int
    """What a zygote logs to."""

    def reap(self, pid: int) -> int | None:
        """How a process ended that was forked here, negative for a signal. Waits for the end. None: nobody knows."""
        try:
            status = self.line.ask({"do": "reap", "pid": pid}).get("status")
        except NotBegun:
            return None
        return status if isinstance(status, int) else None

    def dismiss(self) -> None:
        """Ends it."""
        os.close(self.log_write)
        self.line.close()
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass(frozen=True, slots=True)
class Zygote:
    """A process that imports the function, or has done so."""

    pid: int
    pidfd: int
    line: Line
    group: Group | None

    def kill(self) -> None:
        """Now; whoever listens on its pidfd clears up."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def clear(self, keeper: Keeper) -> tuple[int | None, bool]:
        """It is dead, and what its import had started ends, too. How it ended, and whether for want of memory."""
        os.close(self.pidfd)
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)  # not reaped yet, so the number is its own
        code = keeper.reap(self.pid)
        self.line.close()
        oom = self.group is not None and self.group.oom_kills() > 0
        if self.group is not None:
            self.group.remove()
        return code, oom


@dataclass(frozen=True, slots=True)
class Egg:
    """A fork that waits for its order."""

    pid: int
    turn: socket.socket
    group: Group | None

    def drop(self, keeper: Keeper) -> None:
        """Nobody needs it."""
        self.turn.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)  # not reaped yet, so the number is its own
        keeper.reap(self.pid)
        if self.group is not None:
            self.group.remove()


def start_keeper(command: Sequence[str], spec: WorkerSpec, folder: Path, group: Path | None) -> Keeper:
    """``command`` runs a worker, ``folder`` is the keeper's own, to be made. Raises NotBegun, and then nothing is left.

    ``group`` is the cgroup in which a sweep is to look for what it may leave.
    """
    pipes: dict[str, tuple[int, int]] = {}
    process = None
    ours, theirs = socket.socketpair()
    try:
        workspace.make(folder)
        code = folder / "code"
        code.mkdir(mode=0o700)
        for name in ("stdout", "stderr", "log"):
            pipes[name] = os.pipe()
        process = start(
            [*command, "--keep", str(theirs.fileno())],
            cwd=code,
            env=environment.environment(spec, folder.name, code, folder / "tmp"),
            stdin=subprocess.DEVNULL,
            stdout=pipes["stdout"][1],
            stderr=pipes["stderr"][1],
            pass_fds=(theirs.fileno(),),
        )
        restrict(process.pid)
        workspace.PidFile.of(process.pid, group).write(folder)
        pidfd = os.pidfd_open(process.pid)
    except OSError as error:
        for handle in (handle for pair in pipes.values() for handle in pair):
            os.close(handle)
        ours.close()
        if process is not None:
            process.kill()
            process.wait()
        workspace.remove(folder)
        raise NotBegun(f"the keeper of {spec.function} cannot be started: {error}") from error
    finally:
        theirs.close()
    os.close(pipes["stdout"][1])
    os.close(pipes["stderr"][1])
    return Keeper(process, Line(ours), pidfd, {name: pair[0] for name, pair in pipes.items()}, pipes["log"][1])


def hatch(keeper: Keeper, spec: WorkerSpec, folder: Path, home: Base | None) -> Zygote:
    """A zygote that is about to import the function from its own copy of the code; its socket does not block. Raises
    NotBegun with the reason, OSError.
    """
    code = workspace.copy_code(spec.bundle, folder)
    told = {
        "do": "preload",
        "name": folder.name,
        "folder": str(code),
        "entry": spec.entry,
        "kind": spec.kind,
        "closed": bool(spec.secrets),
        "insists": spec.preload == "on",
    }
    ours, theirs = socket.socketpair()
    control, control_write = os.pipe()
    try:
        answer = keeper.line.ask(told, (theirs.fileno(), control, keeper.log_write))
        if "problem" in answer:
            raise Unfit(str(answer["problem"]))
        pid = pid_of(answer)
        pidfd = os.pidfd_open(pid)
        restrict(pid)
        group = None if home is None else enter(home, folder.name, spec.memory_mb, pid)
        with contextlib.suppress(BrokenPipeError):
            os.write(control_write, json.dumps(dict(spec.secrets)).encode() + b"\n")
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
        os.close(control)
        os.close(control_write)
    line = Line(ours)
    ours.setblocking(False)
    return Zygote(pid, pidfd, line, group)


class Unfit(NotBegun):
    """The function cannot be imported in advance; the message says why."""


def lay(line: Line, name: str, spec: WorkerSpec, home: Base | None) -> Egg:
    """An egg of the process at the other end of ``line``; ``name`` is that of its cgroup. Raises OSError."""
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            pid = pid_of(line.ask({"do": "fork", "later": True}, (theirs.fileno(),)))
        restrict(pid)
        group = None if home is None else enter(home, name, spec.memory_mb, pid)
    except OSError:
        ours.close()
        raise
    return Egg(pid, ours, group)
