"""`init`: the first files of a function."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from dialback.options import Json


def _names(incomplete: str) -> list[tuple[str, str]]:
    """For the shell: names with what they are."""
    from dialback.beginning import templates

    return [(each.name, each.about) for each in templates() if each.name.startswith(incomplete)]


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="The folder; it is made.", show_default=False)
    ] = Path(),
    template: Annotated[
        str | None,
        typer.Option(
            "-t",
            "--template",
            metavar="NAME",
            help="Which one; asked for on a terminal.",
            show_default=False,
            autocompletion=_names,
        ),
    ] = None,
    names: Annotated[bool, typer.Option("--list", help="List the templates and do nothing else.")] = False,
    json: Json = False,
) -> None:
    """Write the first files of a function from a template. No file is ever overwritten.

    Templates: asgi (the default), fetch, sse, openai-chat, fastapi, flask, lambda, generator, probe.
    """
    from dialback.beginning import DEFAULT, templates, write
    from dialback.beginning import template as named
    from dialback.init_view import choose, list_lines, written_lines
    from dialback.terminal import output_console, print_json

    console = output_console()
    if names:
        if json:
            print_json({"templates": [{"name": each.name, "about": each.about} for each in templates()]})
        else:
            for line in list_lines(templates()):
                console.print(line, soft_wrap=True)
        return
    if template is None and not json and sys.stdin.isatty() and sys.stdout.isatty():
        template = choose(templates(), console)
    chosen = named(template or DEFAULT)
    written = write(chosen, folder)
    if json:
        print_json({"template": chosen.name, "files": [str(file) for file in written]})
    else:
        for line in written_lines(chosen, written, folder):
            console.print(line, soft_wrap=True)
