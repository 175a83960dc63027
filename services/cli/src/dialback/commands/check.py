"""`check`: does a stream arrive as it was sent?"""

# ruff: noqa: ARG001 - `session` reads the shared options from the context
from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated

import typer

from dialback.options import Config, Control, DataDir, Json, Token


def check(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="The address as your users have it.")],
    direct: Annotated[
        str | None,
        typer.Option(
            "--direct", metavar="URL", help="The same without what is between, to compare.", show_default=False
        ),
    ] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Deploy a function that sends marked chunks, and check it below URL.")
    ] = False,
    chunks: Annotated[int, typer.Option("--chunks", metavar="COUNT", min=3, max=100, help="Marked chunks.")] = 10,
    gap: Annotated[str, typer.Option("--gap", metavar="TIME", help="Time between marked chunks.")] = "100ms",
    kind: Annotated[
        str, typer.Option("--type", metavar="TYPE", help="Content type of the probe's answer.")
    ] = "text/plain",
    header: Annotated[
        list[str] | None,
        typer.Option("-H", "--header", metavar="LINE", help="'name: value'; may be repeated.", show_default=False),
    ] = None,
    longest: Annotated[str, typer.Option("--for", metavar="TIME", help="Watch an endless answer this long.")] = "30s",
    insecure: Annotated[bool, typer.Option("--insecure", help="Accept any certificate.")] = False,
    control: Control = None,
    token: Token = None,
    data_dir: DataDir = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Tell whether a stream arrives as it was sent, and where on its way it is buffered or changed.

    Any address can be checked: its pieces are timed as they come. Marked chunks tell more, because the times of
    sending are known: --probe deploys a function for them on the running platform, checks it below URL, and removes it
    again. Where a running platform can be reached, its own trace of the request is compared, too.

    Exit codes: 0 it streams; 1 it is buffered, comes in blocks or is changed; 2 it cannot be told; 3 no connection.
    """
    from dialback.checking.check_view import check_json, check_lines
    from dialback.checking.options import wanted_of
    from dialback.checking.probe import deployed_probe
    from dialback.checking.session import Check
    from dialback.errors import CliError
    from dialback.session import connect
    from dialback.terminal import output_console, print_json, progress

    wanted = wanted_of(chunks, gap, kind, tuple(header or ()), longest, not insecure)
    with ExitStack() as opened:
        client = None
        try:
            client = opened.enter_context(connect(context))
        except CliError:
            if probe:
                raise
        shown = opened.enter_context(progress())
        task = shown.add_task("")
        if probe and client is not None:
            url, own = opened.enter_context(deployed_probe(client, url))
            direct = direct or (own if own != url else None)
        checked = Check(wanted, client, lambda note: shown.update(task, description=note)).run(url, direct)
    if json:
        print_json(check_json(checked))
    else:
        console = output_console()
        for line in check_lines(checked, console.width):
            console.print(line, soft_wrap=True)
    raise typer.Exit(EXIT[checked.way.finding.verdict.name])


EXIT = {"STREAMS": 0, "CHANGED": 1, "BLOCKS": 1, "BUFFERED": 1, "UNCLEAR": 2}
