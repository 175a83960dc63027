"""What every launcher offers and gets, written with `process`, `docker`, `lambda` and a cluster in mind.

A launcher knows nothing of invocations. It is told what to start (`WorkerSpec`) and how that worker reaches the
platform (`WorkerControl`), and hands back something that can be watched and ended (`RunningWorker`).
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dialback_invoker import errors
from dialback_invoker.runtime_api import Desk, FunctionError


@dataclass(frozen=True, slots=True)
class AllowedUrl:
    """An address that the bridge may dial, compared part by part: scheme, host and port, or the path of a Unix
    socket.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    def as_dict(self) -> dict[str, str | int]:
        """As it stands in the launch configuration."""
        return {"scheme": self.scheme, "host": self.host, "port": self.port, "path": self.path}


@dataclass(frozen=True, slots=True)
class WorkerPython:
    """A function's own Python, with its packages, and how it gets at the bridge."""

    executable: Path
    version: str
    """``3.12.4``"""
    bridge: Path
    """Folder that it runs: ``python FOLDER worker``."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What to run: the same for every worker of a deployment."""

    function: str
    deployment: str
    bundle: Path
    """Folder of the extracted bundle; read only, a worker gets its own copy."""
    entry: str
    kind: str | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables that reach the worker through its configuration, never through arguments or initial environment."""
    memory_mb: int = 256
    concurrency: int = 1
    callback_socket: str = "keep"
    callback_url: str = ""
    """Where its bridge is told to dial; one of ``allow``."""
    event_loop: str = "auto"
    preload: str = "auto"
    """Whether its workers fork from a process that has imported it: ``auto``, ``on``, ``off``; for launchers that can
    fork.
    """
    allow: tuple[AllowedUrl, ...] = ()
    dial_timeout: float = 5.0
    cancel_grace: float = 0.5
    network: str = "none"
    """``none`` or ``outside``; for launchers that can tell the difference."""
    sandbox: str | None = None
    """A runtime of the container engine, such as ``runsc``."""
    cpus: float = 1.0
    python: WorkerPython | None = None
    """None: the platform's own. For launchers whose workers run on this machine."""
    debugging: Mapping[str, str | int] = field(default_factory=dict)
    """How `dialback dev` lets its code be stopped and looked at; empty: not at all."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of output. Its text comes from the function and is not trusted; control characters are already escaped."""

    function: str
    worker: str
    invocation: str
    """Empty when no invocation can be told."""
    stream: str
    """stdout, stderr, log (the function's logging) or platform."""
    level: str
    line: str


OnLog = Callable[[LogLine], None]


@dataclass(frozen=True, slots=True)
class WorkerControl:
    """How one worker reaches the platform."""

    worker_id: str
    secret: str = field(repr=False)
    desk: Desk
    """For launchers whose workers cannot poll by themselves."""
    on_log: OnLog
    """Called on the loop's thread for every line of output."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a worker ended."""

    code: int | None
    """Exit status, None when a signal ended it."""
    signal: int | None
    reason: str
    """One sentence, for logs and developers."""
    stderr_tail: str = ""
    oom: bool = False


def why_it_ended(code: int | None, number: int | None, *, cause: str, memory_mb: int | None) -> str:
    """How a worker ended, as one sentence without its subject. ``number`` is the signal's; ``cause`` what the launcher
    knows of it; ``memory_mb`` is given when the worker used more.
    """
    if memory_mb is not None:
        return f"was killed: it used more than its {memory_mb} MB of memory"
    if cause:
        return cause
    if number is not None:
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        return f"was killed by {name}"
    return "ended, and nobody can say how" if code is None else f"exited with status {code}"


class RunningWorker(Protocol):
    """A started worker."""

    @property
    def pid(self) -> int | None:
        """None when the worker is not a process of this machine."""
        ...

    @property
    def exited(self) -> asyncio.Future[Exit]:
        """Resolves at once when the worker dies; never fails."""
        ...

    async def terminate(self, grace: float) -> None:
        """Asks it to end, kills it after ``grace`` seconds, returns when it is dead."""
        ...

    async def kill(self) -> None:
        """Ends it and everything it started; returns when it is dead."""
        ...

    async def dispose(self) -> None:
        """After the end: nothing of it remains (children, folder, descriptors). Waits for the end; may be called
        again.
        """
        ...

    async def pause(self) -> bool:
        """Freezes it while it is idle; False when it cannot be frozen, and then nothing has happened."""
        ...

    async def resume(self) -> None:
        """Thaws it; at once when it is not frozen."""
        ...

    def rss(self) -> int:
        """Resident memory in bytes, 0 when it is not known."""
        ...


class Launcher(Protocol):
    """Starts workers."""

    @property
    def name(self) -> str: ...

    @property
    def memory_enforcement(self) -> str:
        """How ``memory_mb`` is held: "cgroup" (the kernel) or "watch" (we look and kill)."""
        ...

    async def prepare(self, worker_id: str) -> Path | None:
        """Makes a worker's private place; answers where its runtime API must listen (a Unix socket), None: nowhere."""
        ...

    async def launch(self, spec: WorkerSpec, control: WorkerControl) -> RunningWorker:
        """Starts it. Raises LaunchFailed, and then nothing is left over; so too when the call is cancelled."""
        ...

    async def discard(self, worker_id: str) -> None:
        """Undoes `prepare` for a worker that never ran."""
        ...

    def started(self, spec: WorkerSpec) -> None:
        """A worker of it is ready: what makes the next start quick may be made now. Does not wait."""
        ...

    def let_go(self, spec: WorkerSpec) -> None:
        """Hardly any worker of it will be started any more: ends what was kept ready for that. Does not wait."""
        ...


class LaunchFailed(errors.LaunchFailed):
    """A worker could not be started. The message is for developers; clients get a plain 502 unless told otherwise.

    ``code``: launch_failed, init_error (the function raised while it was loaded), start_timeout,
    worker_exited, oom.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "launch_failed",
        function_error: FunctionError | None = None,
        exit_: Exit | None = None,
        retry_after: int = 0,
    ) -> None:
        super().__init__(message, code=code)
        self.function_error = function_error
        self.exit = exit_
        self.retry_after = retry_after
        """Seconds until a launch will be tried again; 0: at once."""

    def again(self, note: str = "", retry_after: int = 0) -> LaunchFailed:
        """The same failure for another request: one exception is raised in one place only."""
        return LaunchFailed(
            f"{self.message}\n{note}" if note else self.message,
            code=self.code,
            function_error=self.function_error,
            exit_=self.exit,
            retry_after=retry_after,
        )
