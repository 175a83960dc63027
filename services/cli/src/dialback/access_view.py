"""The lines of the access log: JSON for programs, one for a person at a terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from dialback.ending import code_words
from dialback.terminal import milliseconds, output_console, safe, size
from dialback_edge.access_log import AccessRecord

PATH = 26
"""Columns of the path, longer ones push the rest along."""
LONGEST_PATH = 120
GREEN, YELLOW, RED, QUIET, PLAIN = "32", "33", "31", "90", ""


class HumanLine:
    """Makes `20:15:31  200 GET /@hello/   first byte 4.1 ms · total 12 ms · 34 B` of a record, in colour or not.

    Written by hand and not by rich, since it is made for every request.
    """

    def __init__(self, colour: bool) -> None:
        self._colour = colour

    @classmethod
    def for_output(cls) -> HumanLine:
        """In colour where standard output shows colours."""
        console = output_console()
        return cls(console.color_system is not None and not console.no_color)

    def __call__(self, record: AccessRecord, *more: str) -> str:
        """The line; `more` stands behind the other facts."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.at))
        path = record.path if len(record.path) <= LONGEST_PATH else record.path[: LONGEST_PATH - 1] + "…"
        facts = [
            "" if record.head_after is None else f"first byte {milliseconds(record.head_after * 1000)}",
            f"total {milliseconds(record.duration * 1000)}",
            size(record.bytes_out),
            *map(safe, more),
        ]
        words = code_words(record.code)
        status = self._paint(f"{record.status or '---'}", _status_colour(record.status))
        line = f"{self._paint(clock, QUIET)}  {status} {safe(record.method)} {safe(path).ljust(PATH)}"
        line += self._paint("  " + " · ".join(filter(None, facts)), QUIET)
        if words:
            why = f": {safe(record.detail)}" if record.detail and not words.endswith(record.detail) else ""
            line += "  " + self._paint(words, RED if record.code[0] in "FSsIP" else YELLOW) + self._paint(why, QUIET)
        return line

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour and colour and text else text


class InvocationLine:
    """The same line of an invocation's summary, for an invoker that has no edge beside it."""

    def __init__(self, colour: bool) -> None:
        self._line = HumanLine(colour)

    @classmethod
    def for_output(cls) -> InvocationLine:
        """In colour where standard output shows colours."""
        made = cls(False)
        made._line = HumanLine.for_output()
        return made

    def __call__(self, summary: Mapping[str, Any]) -> str:
        first_byte, total = summary["first_byte_ms"], summary["total_ms"]
        record = AccessRecord(
            at=summary["received_at"],
            id=summary["id"],
            client="",
            method=summary["method"],
            host="",
            path=summary["path"],
            status=summary["status"],
            code=summary["code"],
            bytes_in=summary["bytes_in"],
            bytes_out=summary["bytes_out"],
            head_after=None if first_byte is None else first_byte / 1000,
            duration=(total or 0.0) / 1000,
            detail=summary["detail"],
        )
        return self._line(record, summary["mode"], "cold" if summary["cold"] else "")


def _status_colour(status: int) -> str:
    if not status or status >= 500:
        return RED
    return YELLOW if status >= 400 else GREEN
