"""What `init` shows: the templates, the choice among them, what was written and what comes next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from dialback.beginning import DEFAULT, Template
from dialback.terminal import ACCENT, QUIET, safe

NAME_WIDTH = 14


def list_lines(found: Sequence[Template], numbered: bool = False) -> Iterator[Text]:
    """One line each."""
    for number, each in enumerate(found, 1):
        line = Text(f"{number:>2}  " if numbered else "", QUIET)
        yield line.append(each.name.ljust(NAME_WIDTH), "bold").append(each.about, "default")


def choose(found: Sequence[Template], console: Console) -> str:
    """A number or a name, asked for until it is one."""
    for line in list_lines(found, numbered=True):
        console.print(line, soft_wrap=True)
    names = {each.name for each in found}
    while True:
        said = str(typer.prompt("Which one", default=DEFAULT)).strip()
        if said in names:
            return said
        if said.isdecimal() and 1 <= int(said) <= len(found):
            return found[int(said) - 1].name
        console.print(Text(f"{safe(said)!r} is none of them", "yellow"))


def written_lines(chosen: Template, written: Sequence[Path], folder: Path) -> Iterator[Text]:
    """The files, and the next commands."""
    yield Text.assemble(("written: ", QUIET), ", ".join(safe(str(file)) for file in written))
    where = shlex.quote(str(folder)) if str(folder) != "." else "."
    if chosen.requires:
        yield Text("its requirements.txt says what it needs", QUIET)
    yield Text.assemble(("run it:  ", QUIET), (safe(f"dialback up {where}"), ACCENT))
    yield Text.assemble(
        ("deploy:  ", QUIET), (safe(f"dialback deploy {where}"), ACCENT), ("  (where a platform runs)", QUIET)
    )
