"""Whose line is it? Output of user code, attributed to the invocation that made it.

A context variable says which invocation runs; tasks inherit it, and threads that the bridge starts get a copy. Standard
output and error are replaced by writers that put lines together and send each as a line of JSON to the log descriptor:
`{"id", "stream", "level", "line"}`. Log records that reach no handler of the user's own go the same way, with their
level (`log_records`). What C code and child processes write to descriptors 1 and 2, and what threads of the user's own
print, has no invocation.
"""

from __future__ import annotations

import contextvars
import io
import json
import os
import sys
import threading
from collections.abc import Iterable
from typing import Any

from . import log_records

MAX_LINE = 64 * 1024
"""Characters of a line; longer ones are sent in parts."""

DEFAULT_LEVEL = "INFO"
"""The level of what was printed and states none."""


class Scope:
    """Whose output it is: an invocation (`context.CurrentInvocation`) and the lines that it has begun.

    `id` is empty outside any invocation.
    """

    __slots__ = ("id", "partial")

    def __init__(self, invocation: str) -> None:
        self.id = invocation
        self.partial: dict[tuple[str, int], str] | None = None
        """By stream and thread, so that threads of one invocation do not cut into each other's lines; None until
        something was printed."""


_outside = Scope("")
current: contextvars.ContextVar[Scope] = contextvars.ContextVar("dialback_invocation", default=_outside)
"""The invocation that this code runs for."""


class LogSink:
    """Writes records to the log descriptor; or, without one, failures alone to the real standard error."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        self._lock = threading.RLock()

    def redirect(self, fd: int | None) -> None:
        """Write to another descriptor from now on."""
        self._fd = fd

    def emit(self, invocation: str, stream: str, level: str, lines: Iterable[str]) -> None:
        """Write each line as a record. A log descriptor that nobody reads any more is no reason to fail."""
        if self._fd is None:
            if stream == "log" and sys.__stderr__ is not None:
                sys.__stderr__.write("".join(f"[{level}] {invocation} {line}\n" for line in lines))
                sys.__stderr__.flush()
            return
        records = [
            json.dumps({"id": invocation, "stream": stream, "level": level, "line": line}).encode() + b"\n"
            for line in lines
        ]
        data = memoryview(b"".join(records))
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._fd, data) :]
            except OSError:
                pass

    def write(self, stream: str, text: str) -> None:
        """Take text as it is printed, and send the lines that it completes."""
        scope = current.get()
        key = (stream, threading.get_ident())
        with self._lock:
            if scope.partial is None:
                scope.partial = {}
            whole = scope.partial.pop(key, "") + text
            *finished, rest = whole.split("\n")
            lines = [part for line in finished for part in _parts(line)]
            *more, rest = _parts(rest)
            lines += more
            if rest:
                scope.partial[key] = rest
        if lines:
            self.emit(scope.id, stream, DEFAULT_LEVEL, lines)

    def close(self, scope: Scope) -> None:
        """Send the lines of an invocation that were never finished."""
        if not scope.partial:
            return
        with self._lock:
            partial, scope.partial = scope.partial, {}
        for (stream, _), line in partial.items():
            self.emit(scope.id, stream, DEFAULT_LEVEL, [line])

    def close_outside(self) -> None:
        """Send the unfinished lines that belong to no invocation."""
        self.close(_outside)


def _parts(line: str) -> list[str]:
    """`line` in parts that are not too long; one part when it is empty."""
    return [line[at : at + MAX_LINE] for at in range(0, len(line), MAX_LINE)] or [line]


class _Bytes(io.RawIOBase):
    """`sys.stdout.buffer`."""

    def __init__(self, owner: CapturedStream) -> None:
        self._owner = owner

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        raw = bytes(data)
        self._owner.write(raw.decode("utf-8", "backslashreplace"))
        return len(raw)


class CapturedStream(io.TextIOBase):
    """Takes the place of `sys.stdout` or `sys.stderr`."""

    def __init__(self, sink: LogSink, name: str, fd: int) -> None:
        self._sink = sink
        self._name = name
        self._fd = fd
        self._buffer = _Bytes(self)

    @property
    def name(self) -> str:
        """As of the stream that this one replaces."""
        return f"<{self._name}>"

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has an attribute, CPython a property
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]  # as above
        return "backslashreplace"

    @property
    def buffer(self) -> io.RawIOBase:
        """For code that prints bytes."""
        return self._buffer

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        """The descriptor behind the name: what child processes write there is not attributed."""
        return self._fd

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._sink.write(self._name, text)
        return len(text)


_inherited: list[LogSink] = []


def inherit(sink: LogSink) -> None:
    """In a fork: what `sink` was installed for is this process's now, and `install` gives it a descriptor."""
    _inherited.append(sink)


def install(fd: int | None) -> LogSink:
    """Capture this process's output for `fd`; without one, leave it alone."""
    if _inherited:
        # User code may have got hold of it while it was imported.
        sink = _inherited.pop()
        sink.redirect(fd)
        return sink
    sink = LogSink(fd)
    if fd is not None:
        sys.stdout = CapturedStream(sink, "stdout", 1)
        sys.stderr = CapturedStream(sink, "stderr", 2)
        log_records.install(sink, current)
    return sink
