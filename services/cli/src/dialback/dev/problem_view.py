"""A problem on the terminal: what, where, the source with a caret, the way there."""

from __future__ import annotations

from rich.text import Text

from dialback.dev.problem import Place, Problem
from dialback.terminal import QUIET, safe

MOST_DETAILS = 30
WIDEST = 160
"""Columns of a line of source; what is behind them is left out."""


def problem_view(problem: Problem, folder: str) -> Text:
    """`folder` is put before the files' names, so that a terminal can open them."""
    text = Text.assemble(("✗ ", "bold red"), (safe(problem.title), "bold red"))
    for place in problem.places[:-1]:
        text.append_text(_place_line(place, folder))
        source = next((line for number, line in place.lines if number == place.line), "")
        if source:
            text.append(f"\n      {safe(source.strip())}", QUIET)
    if problem.place is not None:
        text.append_text(_place_line(problem.place, folder))
        text.append_text(_excerpt(problem.place))
    elif problem.details:
        for line in problem.details[-MOST_DETAILS:]:
            text.append("\n    ").append(safe(line), QUIET)
    if problem.hint:
        text.append("\n  hint: ", "cyan").append(safe(problem.hint))
    for note in problem.notes:
        text.append("\n  ").append(note, QUIET)
    return text


def _place_line(place: Place, folder: str) -> Text:
    file = place.file if place.file.startswith("/") or not folder else f"{folder}/{place.file}"
    line = Text.assemble(("\n  --> ", "blue"), f"{safe(file)}:{place.line}")
    if place.function and place.function != "<module>":
        line.append(f" in {safe(place.function)}", QUIET)
    return line


def _excerpt(place: Place) -> Text:
    text = Text()
    width = len(str(place.lines[-1][0])) if place.lines else 1
    for number, source in place.lines:
        meant = number == place.line
        shown = safe(source.expandtabs(4)[:WIDEST])
        text.append(f"\n  {'>' if meant else ' '} {number:>{width}} | ", "blue")
        text.append(shown, "bold" if meant else QUIET)
        if meant and place.column is not None and place.column < WIDEST:
            start = len(source[: place.column].expandtabs(4))
            end = max(start + 1, min(len(source[: place.end].expandtabs(4)), WIDEST))
            text.append(f"\n    {'':>{width}} | ", "blue").append(" " * start + "^" * (end - start), "bold red")
    return text
