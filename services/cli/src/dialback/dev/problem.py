"""What is wrong with a save, or went wrong in a request: the same for the terminal, the browser and programs."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

from dialback.errors import CliError
from dialback_invoker.errors import DialbackError
from dialback_invoker.launchers.base import LaunchFailed

AROUND = 2
"""Lines of source that are shown before and after the one that is meant."""
LONGEST_SOURCE = 2_000_000
"""Bytes of a file that is read to be shown."""


@dataclass(frozen=True, slots=True)
class Place:
    """A line of the user's own code. Columns are counted from 0; `end` is behind the last one that is meant."""

    file: str
    """Relative to the function's folder."""
    line: int
    function: str = ""
    column: int | None = None
    end: int | None = None
    lines: tuple[tuple[int, str], ...] = ()
    """The numbers and the text of the lines around it; empty when they cannot be had."""

    def as_dict(self) -> dict[str, object]:
        return {
            "file": self.file,
            "line": self.line,
            "function": self.function,
            "column": self.column,
            "end": self.end,
            "lines": [list(each) for each in self.lines],
        }


@dataclass(frozen=True, slots=True)
class Problem:
    """`kind`: `save` (a version that cannot serve) or `request` (an exception in one request)."""

    kind: str
    title: str
    """What is wrong, `SyntaxError: ...`."""
    code: str = ""
    places: tuple[Place, ...] = ()
    """The user's own frames, the deepest last; of a broken save usually one."""
    details: tuple[str, ...] = ()
    """Lines that say more: a resolver's message, a worker's last words, frames of libraries."""
    hint: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def place(self) -> Place | None:
        """The one to look at first."""
        return self.places[-1] if self.places else None

    def as_dict(self) -> dict[str, object]:
        """For programs and for the page's overlay."""
        place = self.place
        return {
            "kind": self.kind,
            "code": self.code,
            "message": self.title,
            "file": None if place is None else place.file,
            "line": None if place is None else place.line,
            "source": None if place is None else next((text for n, text in place.lines if n == place.line), None),
            "places": [each.as_dict() for each in self.places],
            "details": list(self.details),
            "hint": self.hint,
        }


def located(root: Path, file: str, line: int | None, source: str | None = None, function: str = "") -> Place:
    """The place in the file below `root`, with what stands around it; `source` where the file cannot be read."""
    number = line or 1
    path = root / file
    text = read_source(path)
    lines = text.splitlines()
    if not 0 < number <= len(lines):
        return Place(file, number, function, lines=((number, source),) if source else ())
    first = max(1, number - AROUND)
    around = tuple((n, lines[n - 1]) for n in range(first, min(len(lines), number + AROUND) + 1))
    shown = lines[number - 1]
    column = len(shown) - len(shown.lstrip())
    return Place(file, number, function, column, max(column + 1, len(shown.rstrip())), around)


def read_source(path: Path) -> str:
    """The file's text; empty when there is none to show."""
    try:
        if path.stat().st_size > LONGEST_SOURCE:
            return ""
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def of_save(error: CliError, root: Path) -> Problem:
    """A version that could not be packed or deployed."""
    details: tuple[str, ...] = ()
    title, *more = error.message.splitlines() or [""]
    if more:
        details = tuple(line for line in more if line.strip())
    code = getattr(error, "code", "")
    if error.file is None:
        return Problem("save", title, code, details=details, hint=error.hint)
    file = _inside(root, error.file)
    place = located(root, file, error.line, error.source)
    if title.startswith(("SyntaxError", "IndentationError", "TabError")):
        place = _syntax_place(root, place)
    return Problem("save", title, code, (place,), details, error.hint)


def of_start(error: DialbackError, root: Path) -> Problem:
    """A version that was deployed and cannot start."""
    from dialback.dev.tracebacks import parse

    title, *details = error.message.splitlines() or [""]
    stack: list[str] = details
    if isinstance(error, LaunchFailed) and error.function_error is not None:
        title = error.function_error.message or error.function_error.type
        stack = [line for part in error.function_error.stack for line in part.splitlines()]
    title, *more = title.splitlines() or [""]
    trace = parse(stack, root)
    if trace.places:
        return Problem("save", trace.title or title, error.code, trace.places)
    return Problem("save", title, error.code, details=tuple(line for line in [*more, *stack] if line.strip()))


def _inside(root: Path, file: str) -> str:
    path = Path(file)
    if path.is_absolute():
        try:
            return str(path.relative_to(root))
        except ValueError:
            return file
    return file


def _syntax_place(root: Path, place: Place) -> Place:
    """Where on the line Python stumbles: it is asked again, since the platform tells the line alone."""
    try:
        ast.parse(read_source(root / place.file))
    except SyntaxError as error:
        if error.lineno == place.line and error.offset is not None:
            start = max(0, error.offset - 1)
            end = error.end_offset - 1 if error.end_offset and error.end_lineno == error.lineno else start + 1
            return Place(place.file, place.line, place.function, start, max(start + 1, end), place.lines)
    except (ValueError, RecursionError, MemoryError):
        pass
    return place
