"""What a worker prints, as bounded lines: hostile input that must cost little and forge nothing.

stdout and stderr are read as they come and belong to no invocation. The log descriptor carries JSON lines that the
bridge has attributed; what does not parse is passed on as a plain line. A line is cut at 8 KiB, a worker may say
2,000 lines and 1 MiB a second (twice that in a burst); the rest is dropped and counted. Reading never stops, so that
a flood blocks neither the worker nor us.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import Callable

from dialback_invoker.launchers.base import LogLine, OnLog

MAX_LINE = 8 * 1024
MAX_RECORD = 64 * 1024
"""Bytes of one JSON line: room for MAX_LINE with every character escaped."""
LINES_A_SECOND = 2000
BYTES_A_SECOND = 1024 * 1024
TAIL_LINES = 20
TAIL_CHARACTERS = 4096

STREAMS = ("stdout", "stderr", "log")
_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_LEVEL = re.compile(r"[A-Z]{1,16}")
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code != 0x09} | {
    code: f"\\u{code:04x}" for code in (0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}


def clean(text: str) -> str:
    """Text in which nothing moves a terminal's cursor, starts a line or turns the direction of writing."""
    return text if text.isprintable() else text.translate(_CONTROLS)


class Lines:
    """Cuts a byte stream into lines of bounded length."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = b""
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are complete now; what exceeds the limit in a line is lost."""
        whole = self._rest + data
        *lines, self._rest = whole.split(b"\n")
        if lines and self._skipping:
            lines.pop(0)
            self._skipping = False
        if len(self._rest) > self._limit:
            if not self._skipping:
                lines.append(self._rest)
            self._skipping = True
        if self._skipping:
            self._rest = b""
        return [line[: self._limit] for line in lines]

    def flush(self) -> list[bytes]:
        """The last line when it had no end."""
        last, self._rest = self._rest, b""
        return [last] if last else []


class Gate:
    """A token bucket on lines and bytes, which counts what it turned away."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at = clock()
        self._lines = 2.0 * LINES_A_SECOND
        self._bytes = 2.0 * BYTES_A_SECOND
        self.dropped = 0

    def admit(self, size: int) -> bool:
        """Whether a line of that size may pass now."""
        now = self._clock()
        spent, self._at = now - self._at, now
        self._lines = min(2.0 * LINES_A_SECOND, self._lines + spent * LINES_A_SECOND)
        self._bytes = min(2.0 * BYTES_A_SECOND, self._bytes + spent * BYTES_A_SECOND)
        if self._lines < 1 or self._bytes < size:
            self.dropped += 1
            return False
        self._lines -= 1
        self._bytes -= size
        return True


class Output:
    """One worker's output, from bytes to LogLine."""

    def __init__(self, function: str, worker: str, on_log: OnLog, clock: Callable[[], float]) -> None:
        self._function = function
        self._worker = worker
        self._on_log = on_log
        self._gate = Gate(clock)
        self._lines = {"stdout": Lines(MAX_LINE), "stderr": Lines(MAX_LINE), "log": Lines(MAX_RECORD)}
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    def feed(self, source: str, data: bytes) -> None:
        """Bytes from "stdout", "stderr" or "log" (the log descriptor)."""
        for line in self._lines[source].feed(data):
            self._take(source, line)

    def finish(self, source: str) -> None:
        """That source has ended."""
        for line in self._lines[source].flush():
            self._take(source, line)
        self._report_dropped()

    def tail(self) -> str:
        """The last words on stderr."""
        return "\n".join(self._tail)[-TAIL_CHARACTERS:]

    def _take(self, source: str, raw: bytes) -> None:
        if not self._gate.admit(len(raw)):
            return
        self._report_dropped()
        invocation, stream, level = "", source, "ERROR" if source == "stderr" else "INFO"
        text = None
        if source == "log":
            record = _record(raw)
            if record is not None:
                invocation, stream, level, text = record
        if text is None:
            text = raw[:MAX_LINE].decode("utf-8", "replace").rstrip("\r")
        line = clean(text)
        if stream == "stderr":
            self._tail.append(line)
        self._on_log(LogLine(self._function, self._worker, invocation, stream, level, line))

    def _report_dropped(self) -> None:
        count, self._gate.dropped = self._gate.dropped, 0
        if count:
            text = f"{count} lines were dropped: this worker prints more than {LINES_A_SECOND} lines or 1 MiB a second"
            self._on_log(LogLine(self._function, self._worker, "", "platform", "WARNING", text))


def _record(raw: bytes) -> tuple[str, str, str, str] | None:
    """(invocation, stream, level, line) of a JSON line, None when it is none."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not isinstance(text := value.get("line"), str):
        return None
    name, stream, level = value.get("id"), value.get("stream"), value.get("level")
    return (
        name if isinstance(name, str) and _ID.fullmatch(name) else "",
        stream if isinstance(stream, str) and stream in STREAMS else "log",
        level if isinstance(level, str) and _LEVEL.fullmatch(level) else "INFO",
        text.encode("utf-8", "replace")[:MAX_LINE].decode("utf-8", "ignore"),
    )


class PipeReader(asyncio.Protocol):
    """Passes a pipe's bytes on, and tells when it has ended."""

    def __init__(self, source: str, output: Output) -> None:
        self._source = source
        self._output = output
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._output.feed(self._source, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._output.finish(self._source)
        self.ended.set_result(None)
