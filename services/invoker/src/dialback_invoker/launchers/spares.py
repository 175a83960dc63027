"""Processes that wait for the next start: interpreters that have imported the bridge, and what the function imports.

After each start of a kind another one is made ready for the next of that kind. A kind is the command up to its
subcommand, with those variables of the environment that an interpreter reads when it starts. The bridge's `spare` says
what such a process does; it never runs the function's code before it is somebody's.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dialback_invoker.launchers.asking import send
from dialback_invoker.launchers.start import start

SUBCOMMANDS = ("worker", "inspect")
READ_AT_START = ("PYTHON", "LD_", "LANG", "LC_", "GLIBC", "MALLOC_")
"""Variables with these beginnings cannot be given to an interpreter that runs."""
AFTER = 0.2
"""Seconds after a start when the next spare is begun: the processor belongs to the one that was started."""
MOST = 2
"""Spares that wait at most: one for inspections, one for workers."""
SLOW = 3.0
"""Seconds after which a spare that is still importing counts as stuck."""

Kind = tuple[tuple[str, ...], tuple[tuple[str, str], ...]]


@dataclass(slots=True)
class _Spare:
    """One that waits."""

    process: subprocess.Popen[bytes]
    turn: socket.socket
    modules: tuple[str, ...]
    since: float

    def discard(self) -> None:
        self.turn.close()
        self.process.kill()
        self.process.wait()


class Spares:
    """Implements `Start` with processes that wait, and without them where there is none that fits.

    ``modules`` says what the function imports from elsewhere; it is asked in a thread, for each spare anew.
    """

    def __init__(self, modules: Callable[[], tuple[str, ...]] = tuple) -> None:
        self._modules = modules
        self._lock = threading.Lock()
        self._waiting: dict[Kind, _Spare] = {}
        self._timers: set[threading.Timer] = set()
        self._unfit: set[tuple[str, ...]] = set()
        self._closed = False

    def __call__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: int,
        stdout: int,
        stderr: int,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """The process of a spare, which becomes the command; or a new one. Raises OSError."""
        kind = _kind(command, env)
        if kind is None:
            return start(command, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=pass_fds)
        with self._lock:
            spare = self._waiting.pop(kind, None)
        try:
            if spare is not None and self._usable(spare):
                told = {
                    "arguments": list(command[len(kind[0]) :]),
                    "command": list(command),
                    "folder": str(cwd),
                    "environment": dict(env),
                    "descriptors": list(pass_fds),
                }
                if _hand_over(spare, told, stdin, stdout, stderr, pass_fds):
                    return spare.process
            return start(command, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=pass_fds)
        finally:
            self._later(kind)

    def ready(self, timeout: float) -> bool:
        """Wait until nothing is being prepared any more, for tests and measurements. Blocks."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            with self._lock:
                spares, timers = list(self._waiting.values()), bool(self._timers)
            if not timers and all(_said_ready(spare) for spare in spares):
                return True
            time.sleep(0.01)
        return False

    def close(self) -> None:
        """End what waits. Blocks for a moment."""
        with self._lock:
            self._closed = True
            spares, timers = list(self._waiting.values()), list(self._timers)
            self._waiting.clear()
        for timer in timers:
            timer.cancel()
            timer.join()
        for spare in spares:
            spare.discard()

    def _usable(self, spare: _Spare) -> bool:
        if spare.process.poll() is None and (_said_ready(spare) or time.monotonic() - spare.since < SLOW):
            return True
        self._unfit.add(spare.modules)
        spare.discard()
        return False

    def _later(self, kind: Kind) -> None:
        def prepare() -> None:
            try:
                self._prepare(kind)
            finally:
                with self._lock:
                    self._timers.discard(timer)

        timer = threading.Timer(AFTER, prepare)
        timer.daemon = True
        with self._lock:
            if not self._closed:
                self._timers.add(timer)
                timer.start()

    def _prepare(self, kind: Kind) -> None:
        modules = self._modules()
        if modules in self._unfit:
            modules = ()
        ours, theirs = socket.socketpair()
        with theirs:
            command = [*kind[0], "spare", "--fd", str(theirs.fileno()), *modules]
            nothing = subprocess.DEVNULL
            try:
                process = start(
                    command,
                    cwd=Path("/"),
                    env={"PATH": os.defpath, **dict(kind[1])},
                    stdin=nothing,
                    stdout=nothing,
                    stderr=nothing,
                    pass_fds=(theirs.fileno(),),
                )
            except OSError:
                ours.close()
                return
        spare = _Spare(process, ours, modules, time.monotonic())
        with self._lock:
            left = [spare] if self._closed else [each for each in (self._waiting.pop(kind, None),) if each is not None]
            if not self._closed:
                self._waiting[kind] = spare
                while len(self._waiting) > MOST:
                    # The kinds of an environment that is not used any more.
                    left.append(self._waiting.pop(next(iter(self._waiting))))
        for each in left:
            each.discard()


def _kind(command: Sequence[str], env: Mapping[str, str]) -> Kind | None:
    at = next((index for index, word in enumerate(command) if word in SUBCOMMANDS), None)
    if at is None:
        return None
    read = tuple(sorted((name, value) for name, value in env.items() if name.startswith(READ_AT_START)))
    return tuple(command[:at]), read


def _said_ready(spare: _Spare) -> bool:
    try:
        return spare.turn.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except OSError:
        return False


def _hand_over(
    spare: _Spare, told: Mapping[str, object], stdin: int, stdout: int, stderr: int, pass_fds: Sequence[int]
) -> bool:
    """False: it has died meanwhile, and nothing was started."""
    nothing: int | None = None
    try:
        if stdin == subprocess.DEVNULL:
            stdin = nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        send(spare.turn, told, (stdin, stdout, stderr, *pass_fds))
    except OSError:
        spare.discard()
        return False
    finally:
        if nothing is not None:
            os.close(nothing)
    with suppress(OSError):
        spare.turn.recv(1, socket.MSG_DONTWAIT)  # what is unread when it closes would reset it for the other side
    spare.turn.close()
    return True
