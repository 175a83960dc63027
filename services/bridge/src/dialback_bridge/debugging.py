"""`breakpoint()` in a worker, and debugpy: what `dialback dev` puts into a worker's configuration.

A worker has no terminal: its standard input is empty, its output is captured, and it is in a session of its own. So a
breakpoint opens the terminal that `dialback dev` runs in. It holds a lock on a file while it talks there: several
breakpoints wait for each other, and the request log waits for all of them.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import pdb
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from . import log_capture

LISTEN_TRIES = 60
LISTEN_PAUSE = 0.05
"""Seconds between two tries to listen: the version before gives the port away when this one starts."""

_QUIET = "PYDEVD_DISABLE_FILE_VALIDATION"


@dataclass(frozen=True)
class Debugging:
    """A worker's configuration of it. Empty texts and a port of 0 mean that there is none."""

    terminal: str = ""
    lock: str = ""
    port: int = 0
    path: str = ""
    """A folder from which debugpy can be imported, when it is not in the function's environment."""
    source: str = ""
    """The folder whose copy the working folder is: where an editor has the code."""


def read(value: dict[str, Any]) -> Debugging:
    """From the configuration's line; what a later version says beside it is passed over."""
    return Debugging(**{key: kind(value[key]) for key, kind in _KINDS.items() if key in value})


_KINDS: dict[str, Callable[[Any], Any]] = {"terminal": str, "lock": str, "port": int, "path": str, "source": str}


def install(debugging: Debugging, log: log_capture.LogSink) -> None:
    """Let `breakpoint()` stop in the terminal, unless the function's own PYTHONBREAKPOINT says otherwise."""
    if "PYTHONBREAKPOINT" not in os.environ:
        sys.breakpointhook = _hook(debugging, log)
    if debugging.port:
        try:
            _listen(debugging)
        except Exception as error:
            log.emit("", "log", "ERROR", [f"debugpy: {error}"])


def _hook(debugging: Debugging, log: log_capture.LogSink) -> Callable[..., None]:
    def stop(*_: Any, **__: Any) -> None:
        frame = sys._getframe(1)
        if "debugpy" in sys.modules and sys.modules["debugpy"].is_client_connected():
            sys.modules["debugpy"].breakpoint()
            return
        if not debugging.terminal:
            place = f"{os.path.relpath(frame.f_code.co_filename)}:{frame.f_lineno}"
            said = f"breakpoint() at {place} was passed over: `dialback dev` was not started in a terminal"
            log.emit(log_capture.current.get().id, "log", "WARNING", [said])
            return
        Prompt(debugging).set_trace(frame)

    return stop


class Prompt(pdb.Pdb):
    """pdb on the terminal. It is opened for each stop and closed behind it, so that nothing is held in between."""

    def __init__(self, debugging: Debugging) -> None:
        self._debugging = debugging
        self._nowhere = open(os.devnull, "r+")  # noqa: SIM115 - pdb wants streams before there is a terminal
        super().__init__(stdin=self._nowhere, stdout=self._nowhere, nosigint=True)
        self.prompt = "(Pdb) "

    def format_stack_entry(self, *arguments: Any, **named: Any) -> str:
        """With the place where the user has the file, not that of the copy that runs."""
        return super().format_stack_entry(*arguments, **named).replace(os.getcwd(), self._debugging.source or os.curdir)

    def interaction(self, frame: FrameType | None, *rest: Any) -> None:
        """Talk with the person at the terminal until he lets the function go on."""
        with _turn(self._debugging.lock), _terminal(self._debugging.terminal) as terminal:
            self.stdin = self.stdout = terminal
            invocation = log_capture.current.get().id
            terminal.write(f"\n■ breakpoint{f' in {invocation}' if invocation else ''}; c goes on, h helps\n")
            try:
                super().interaction(frame, *rest)
            finally:
                self.stdin = self.stdout = self._nowhere


@contextmanager
def _turn(lock: str) -> Iterator[None]:
    """Hold the lock. Opened anew, for only then do threads of one process wait for each other."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _terminal(device: str) -> Iterator[Any]:
    # Without O_NOCTTY it could become the terminal of this process's session.
    descriptor = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    with _Terminal(descriptor) as terminal:
        yield terminal


class _Terminal:
    """Lines in, text out. Python's own text files cannot do both on something that cannot seek."""

    encoding = "utf-8"

    def __init__(self, descriptor: int) -> None:
        self._in = os.fdopen(descriptor, "r", encoding="utf-8", errors="replace")
        self._out = os.dup(descriptor)

    def __enter__(self) -> _Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._in.close()
        os.close(self._out)

    def readline(self) -> str:
        return self._in.readline()

    def write(self, text: str) -> int:
        left = memoryview(text.encode("utf-8", "replace"))
        while left:
            left = left[os.write(self._out, left) :]
        return len(text)

    def flush(self) -> None:
        """Everything has left already."""


def _listen(debugging: Debugging) -> None:
    """Let editors attach. Raises RuntimeError with what to do about it."""
    debugpy = _debugpy(debugging.path)
    # It would warn, on each start, that Python's own modules are frozen; those are not what is debugged here.
    os.environ[_QUIET] = "1"
    for tried in range(LISTEN_TRIES):
        try:
            debugpy.listen(("127.0.0.1", debugging.port))
            break
        except RuntimeError:
            if tried == LISTEN_TRIES - 1:
                raise
            time.sleep(LISTEN_PAUSE)
    del os.environ[_QUIET]
    if debugging.source:
        # An editor sets its breakpoints in the code that it shows; what runs is a copy.
        files = importlib.import_module("pydevd_file_utils")
        files.setup_client_server_paths([(debugging.source, os.getcwd())])


def _debugpy(path: str) -> Any:
    try:
        return importlib.import_module("debugpy")
    except ImportError:
        if not path:
            raise RuntimeError(
                "it is not installed: pip install debugpy, beside dialback or in the function's environment"
            ) from None
    sys.path.append(path)
    try:
        return importlib.import_module("debugpy")
    finally:
        sys.path.remove(path)
