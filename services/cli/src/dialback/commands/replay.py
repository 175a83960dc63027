"""`replay`: a recorded request, made again."""

# ruff: noqa: ARG001 - `session` reads the shared options from the context
from __future__ import annotations

from typing import Annotated

import typer

from dialback.options import Config, Control, DataDir, Json, Token


def replay(
    context: typer.Context,
    invocation: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="From the header x-dialback-id; else the last one.", show_default=False),
    ] = None,
    deployment: Annotated[
        str | None,
        typer.Option("--deployment", metavar="ID", help="Which version answers; else the active.", show_default=False),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            "--mode", metavar="MODE", help="buffered, callback or tunnel; else as it was.", show_default=False
        ),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            "-H", "--header", metavar="LINE", help="'name: value', added or in place; may repeat.", show_default=False
        ),
    ] = None,
    control: Control = None,
    token: Token = None,
    data_dir: DataDir = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Make a recorded request again, and show both timings side by side.

    Credentials are not recorded: the fields that carried them are named, and sent only if -H gives them.
    """
    from dialback.comparing import check_mode
    from dialback.errors import UsageProblem
    from dialback.replaying import Replay, headers_of
    from dialback.session import connect
    from dialback.terminal import output_console, print_json, progress

    if invocation is not None and not (invocation.isascii() and invocation.isalnum()):
        raise UsageProblem(f"{invocation!r} is not an invocation's id", hint="it stands in the header x-dialback-id")
    if mode is not None:
        check_mode(mode)
    headers = headers_of(header or ())
    with connect(context) as client, progress() as shown:
        task = shown.add_task("asking again")
        found = Replay(
            client.replay(invocation or "last", deployment, mode, headers),
            lambda note: shown.update(task, description=note),
        )
    if json:
        print_json(found.as_json())
    else:
        output_console().print(found)
    found.raise_failure()
