"""How a process is started: as usual here; `launchers.spares` has processes that wait for it, `launchers.nest` those
that fork.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypedDict, Unpack


class Process(Protocol):
    """A process that was started, as far as a launcher needs to know it. `subprocess.Popen` is one."""

    pid: int

    def poll(self) -> int | None:
        """How it ended, where that can be told without waiting."""

    def wait(self) -> int | None:
        """Its exit status, negative for a signal; None when nobody knows. Blocks until its end, and reaps it."""

    def kill(self) -> None:
        """SIGKILL. Only before `wait`."""


class NotBegun(OSError):
    """No process came to be in this way, and perhaps one does in another."""


class How(TypedDict):
    """Where a process begins, and with what."""

    cwd: Path
    env: Mapping[str, str]
    stdin: int
    stdout: int
    stderr: int
    pass_fds: Sequence[int]


class Begin(Protocol):
    """Begins ``command`` in some way, in a session of its own, with these streams and descriptors and nothing else.
    Blocks. Raises OSError.
    """

    def __call__(self, command: Sequence[str], **how: Unpack[How]) -> Process: ...


class Start(Protocol):
    """Starts ``command`` in a session of its own, with these streams and descriptors and nothing else. Blocks."""

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
    ) -> subprocess.Popen[bytes]: ...


def start(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: int,
    stdout: int,
    stderr: int,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """A new process. Raises OSError."""
    return subprocess.Popen(
        list(command),
        cwd=cwd,
        env=dict(env),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=tuple(pass_fds),
        close_fds=True,
        start_new_session=True,
    )
