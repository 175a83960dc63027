"""`logs`: what a function printed and logged."""

# ruff: noqa: ARG001 - `session` reads the shared options from the context
from __future__ import annotations

from typing import Annotated

import typer

from dialback.completing import function_names
from dialback.options import Config, Control, DataDir, Token


def logs(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="N", help="The function.", autocompletion=function_names)],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines as they come.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, max=100_000, help="How many of the latest lines.")
    ] = 200,
    since: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="Only lines younger than this: 30s, 10m, 2h, 1d.", show_default=False),
    ] = None,
    control: Control = None,
    token: Token = None,
    data_dir: DataDir = None,
    config: Config = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Show what a function printed and logged, with the invocation that it belongs to."""
    from dialback.log_view import log_line, since_when
    from dialback.names import check_name
    from dialback.session import connect
    from dialback.terminal import output_console, print_json

    check_name(name)
    start = None if since is None else since_when(since)
    console = output_console()
    with connect(context) as client:
        for line in client.logs(name, follow=follow, since=start, limit=limit):
            if json:
                print_json(line.model_dump(mode="json"), compact=True)
            else:
                console.print(log_line(line), soft_wrap=True)
