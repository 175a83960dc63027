"""Tracebacks as workers log them, taken apart: which frames are the user's own, and where in his folder they are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dialback.dev.problem import Place, Problem, located

START = ("Traceback (most recent call last):", "  + Exception Group Traceback (most recent call last):")
_FRAME = re.compile(r'^[\s|]*File "(?P<file>[^"]+)", line (?P<line>\d+)(?:, in (?P<function>.+))?$')
_CODE = re.compile(r"/workers/w_[0-9a-f]+/code/(?P<inside>.+)$")
_CARETS = re.compile(r"^(?P<indent>\s*)(?P<marks>[~^]+)\s*$")


@dataclass(frozen=True, slots=True)
class Trace:
    """The last exception of a chain, and the user's own frames of it."""

    title: str
    places: tuple[Place, ...]
    lines: tuple[str, ...]
    """All of it, as it was logged."""

    def problem(self) -> Problem:
        """As a request's failure."""
        return Problem("request", self.title, "handler_error", self.places, self.lines)


def begins(line: str) -> bool:
    """Whether a traceback begins with this line."""
    return line.startswith(START)


def own_file(path: str) -> str | None:
    """The file relative to the function's folder; None when it is not the user's own."""
    found = _CODE.search(path)
    if found is None or "site-packages" in path.split("/"):
        return None
    return found["inside"]


def parse(lines: Sequence[str], root: Path) -> Trace:
    """Take a logged traceback apart; `root` is where the user's files are read from."""
    last = max((i for i, line in enumerate(lines) if begins(line)), default=0)
    places: list[Place] = []
    title = ""
    for index in range(last, len(lines)):
        line = lines[index]
        frame = _FRAME.match(line)
        if frame is not None:
            title = ""
            file = own_file(frame["file"])
            if file is not None:
                place = located(root, file, int(frame["line"]), None, frame["function"] or "")
                places.append(_pointed(place, lines[index + 1 : index + 3]))
        elif line and not line[0].isspace() and not begins(line):
            title = title or line
    return Trace(title or (lines[-1].strip() if lines else ""), tuple(places), tuple(lines))


def _pointed(place: Place, following: Sequence[str]) -> Place:
    """With the columns that Python 3.11 and later underline."""
    if len(following) < 2 or place.column is None:
        return place
    carets = _CARETS.match(following[1])
    source = following[0]
    if carets is None or not source.strip() or _FRAME.match(source):
        return place
    shift = place.column - (len(source) - len(source.lstrip()))
    start = len(carets["indent"]) + shift
    return replace(place, column=max(0, start), end=max(1, start + len(carets["marks"])))
