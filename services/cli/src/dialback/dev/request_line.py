"""One request on one line."""

from __future__ import annotations

import time

from rich.text import Text

from dialback.ending import code_words
from dialback.terminal import QUIET, milliseconds, safe, size
from dialback_edge.access_log import AccessRecord

WHAT = 28
"""Columns of method and path, longer ones push the rest along."""
LONGEST_PATH = 100


def request_line(record: AccessRecord, summary: dict[str, object] | None) -> Text:
    """`12:30:01  200 GET /chat    first byte 3.1 ms · total 1.20 s · 1.2 KiB · streamed 12 chunks`"""
    status = "red" if not record.status or record.status >= 500 else "yellow" if record.status >= 400 else "green"
    line = Text.assemble((f"{clock(record.at + record.duration)}  ", QUIET), (f"{record.status or '---'}", status))
    line.append(" " + f"{safe(record.method)} {short(record.path)}".ljust(WHAT))
    facts = [
        "" if record.head_after is None else f"first byte {milliseconds(record.head_after * 1000)}",
        f"total {milliseconds(record.duration * 1000)}",
        size(record.bytes_out),
        way(summary),
    ]
    line.append("  " + " · ".join(filter(None, facts)), QUIET)
    words = code_words(record.code)
    if words:
        line.append(f"  {words}", "red" if record.code[0] in "SsIP" else "yellow")
        if record.detail and not words.endswith(record.detail):
            line.append(f": {safe(record.detail)}", QUIET)
    return line


def way(summary: dict[str, object] | None) -> str:
    """How the answer came, and whether a worker was started for it."""
    if summary is None or not summary["mode"]:
        return ""
    chunks = summary["chunks"]
    if summary["mode"] == "buffered":
        said = "buffered"
    elif isinstance(chunks, int) and chunks > 1:
        said = f"streamed {chunks:,} chunks"
    else:
        said = ""
    return f"{said}, cold" if summary["cold"] and said else "cold" if summary["cold"] else said


def request_event(record: AccessRecord, summary: dict[str, object] | None) -> dict[str, object]:
    """The same for programs."""
    found = summary or {}
    return {
        "event": "request",
        "id": record.id,
        "at": round(record.at, 3),
        "method": record.method,
        "path": record.path,
        "status": record.status,
        "code": record.code,
        "detail": record.detail,
        "bytes_out": record.bytes_out,
        "head_ms": None if record.head_after is None else round(record.head_after * 1000, 2),
        "duration_ms": round(record.duration * 1000, 2),
        **{key: found.get(key) for key in ("mode", "verdict", "chunks", "deployment")},
    }


def clock(at: float) -> str:
    """The time of day of a Unix time."""
    return time.strftime("%H:%M:%S", time.localtime(at))


def short(path: str) -> str:
    """A path as it fits into a line."""
    return safe(path if len(path) <= LONGEST_PATH else path[: LONGEST_PATH - 1] + "…")
