"""How values look on a terminal: consoles, sanitised text, durations, sizes, ages, and progress that stays calm."""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

from dialback.errors import OutputClosed

if TYPE_CHECKING:
    from rich.progress import Progress

ACCENT = "cyan"
QUIET = "bright_black"
PIPE_WIDTH = 160
"""Columns of what goes into a pipe or a file, unless COLUMNS says otherwise."""
PROGRESS_AFTER = 0.7
"""Seconds that something may take before progress is drawn."""


class OutputConsole(Console):
    """A console whose closed pipe is our error, not rich's exit."""

    def on_broken_pipe(self) -> None:
        raise OutputClosed("the output was closed")


class ErrorConsole(Console):
    """A console that leaves it to its caller that nobody reads it."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def output_console() -> OutputConsole:
    """Standard output. rich honours NO_COLOR, FORCE_COLOR, TERM=dumb, COLUMNS, and leaves colours out of pipes."""
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return OutputConsole(file=sys.stdout, width=wide, highlight=False, markup=False, emoji=False)


def error_console() -> Console:
    """Standard error: errors, notes and progress, so that stdout carries results alone."""
    return ErrorConsole(file=sys.stderr, highlight=False, markup=False, emoji=False)


def safe(text: str, keep: str = "\t") -> str:
    """`text` with control characters made visible: logs, paths and errors are not ours, and a terminal obeys them."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _visible(c) for c in text)


def _visible(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def milliseconds(value: float) -> str:
    """A duration given in milliseconds, three digits at most: `0.04 ms`, `12.3 ms`, `1.20 s`, `4 m 05 s`."""
    if value < 0.005:
        return "0 ms" if value <= 0 else "<0.01 ms"
    if value < 0.995:
        return f"{value:.2f} ms"
    if value < 99.95:
        return f"{value:.1f} ms"
    if value < 999.5:
        return f"{value:.0f} ms"
    if value < 59_995:
        return f"{value / 1000:.2f} s"
    minutes, seconds = divmod(round(value / 1000), 60)
    return f"{minutes} m {seconds:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} m"


def size(count: int | None) -> str:
    """A number of bytes: `512 B`, `1.5 KiB`, `20 MiB`; `-` when it is not known."""
    if count is None:
        return "-"
    if count < 1024:
        return f"{count} B"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1023.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} TiB"


def age(since: float | None, now: float | None = None) -> str:
    """How long ago a Unix time was: `3 s`, `5 m`, `2 h`, `4 d`."""
    if since is None:
        return "-"
    seconds = max(0, int((time.time() if now is None else now) - since))
    for length, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def print_json(value: object, *, compact: bool = False) -> None:
    """One JSON document to stdout, on one line when `compact`; flushed, because another program waits for it."""
    text = json.dumps(
        value, ensure_ascii=False, separators=(",", ":") if compact else None, indent=None if compact else 2
    )
    print_line(text)


def print_line(text: str) -> None:
    """One raw line to stdout, at once."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError as closed:
        raise OutputClosed("the output was closed") from closed


@contextmanager
def progress(*, count: bool = False) -> Iterator[Progress]:
    """rich progress on stderr: drawn only on a terminal, only when the work takes more than a moment, then removed.

    With `count` there is a bar with bytes done and speed, otherwise a spinner.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

    columns = (BarColumn(bar_width=24), DownloadColumn(binary_units=True), TransferSpeedColumn()) if count else ()
    shown = Progress(
        SpinnerColumn(style=ACCENT),
        TextColumn("{task.description}", markup=False),
        *columns,
        console=error_console(),
        transient=True,
    )
    if not shown.console.is_terminal:
        yield shown
        return
    timer = threading.Timer(PROGRESS_AFTER, shown.start)
    timer.daemon = True
    timer.start()
    try:
        yield shown
    finally:
        timer.cancel()
        timer.join()
        shown.stop()
