"""`trace` and `compare`: watching how a response came to be."""

# ruff: noqa: ARG001 - `session` reads the shared options from the context
from __future__ import annotations

from typing import Annotated

import typer

from dialback.options import Config, Control, DataDir, Json, PublicUrl, Token


def trace(
    context: typer.Context,
    invocation: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="From the header x-dialback-id; else the last one.", show_default=False),
    ] = None,
    last: Annotated[bool, typer.Option("--last", help="The last invocation.")] = False,
    frames: Annotated[bool, typer.Option("--frames", help="Every frame too, and the stamped payload.")] = False,
    control: Control = None,
    token: Token = None,
    data_dir: DataDir = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Draw one invocation as a waterfall, from its first byte to who ended it."""
    from dialback.errors import UsageProblem
    from dialback.frame_view import frame_parts, redacted
    from dialback.session import connect
    from dialback.terminal import output_console, print_json
    from dialback.waterfall import Waterfall

    if invocation is not None and last:
        raise UsageProblem("trace: name an ID or say --last, not both")
    if invocation is not None and not (invocation.isascii() and invocation.isalnum()):
        raise UsageProblem(f"{invocation!r} is not an invocation's id", hint="it stands in the header x-dialback-id")
    with connect(context) as client:
        found = client.trace(invocation or "last")
    if json:
        left_out = None if frames else {"frames", "payload", "request"}
        print_json(redacted(found.model_dump(mode="json", exclude=left_out)))
        return
    console = output_console()
    console.print(Waterfall(found))
    if frames:
        console.print()
        for part in frame_parts(found):
            console.print(part)


def compare(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="N", help="The function.")],
    path: Annotated[str, typer.Argument(metavar="PATH", help="Path and query below the function.")] = "/",
    method: Annotated[
        str | None,
        typer.Option("-X", "--method", metavar="METHOD", help="GET, or POST with a body.", show_default=False),
    ] = None,
    data: Annotated[
        str | None, typer.Option("-d", "--data", metavar="BODY", help="Text or @FILE.", show_default=False)
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option("-H", "--header", metavar="LINE", help="'name: value'; may be repeated.", show_default=False),
    ] = None,
    public_url: PublicUrl = None,
    control: Control = None,
    token: Token = None,
    data_dir: DataDir = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Send the same request in each mode, and show first byte, total and gaps side by side."""
    from dialback.comparing import MODES, Comparison
    from dialback.names import check_name
    from dialback.session import connect, settings_of
    from dialback.terminal import output_console, print_json, progress
    from dialback.timeline import SideBySide

    check_name(name)
    with connect(context) as client, progress() as shown:
        address = settings_of(context).public_url or client.platform().public_url
        comparison = Comparison(client, address, name, path, method, data, tuple(header or ()))
        task = shown.add_task("")
        for mode in MODES:
            shown.update(task, description=f"{name}: {mode}")
            comparison.add(mode, lambda note: shown.update(task, description=note))
    if json:
        print_json({"function": name, "path": path, "runs": [run.as_json() for run in comparison.runs]})
    else:
        output_console().print(SideBySide(comparison.runs))
    comparison.raise_failures()
