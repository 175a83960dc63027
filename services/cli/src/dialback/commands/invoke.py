"""`invoke`: one request to a function, its answer on stdout."""

# ruff: noqa: ARG001 - `session` reads the shared options from the context
from __future__ import annotations

from typing import Annotated

import typer

from dialback.completing import function_names
from dialback.options import Config, Control, DataDir, JsonLines, PublicUrl, Token


def invoke(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="N", help="The function.", autocompletion=function_names)],
    path: Annotated[str, typer.Argument(metavar="PATH", help="Path and query below the function.")] = "/",
    method: Annotated[
        str | None,
        typer.Option("-X", "--method", metavar="METHOD", help="GET, or POST with a body.", show_default=False),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("-d", "--data", metavar="BODY", help="Text, @FILE, or @- for standard input.", show_default=False),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option("-H", "--header", metavar="LINE", help="'name: value'; may be repeated.", show_default=False),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            "--mode", metavar="MODE", help="buffered, callback or tunnel; else the function's.", show_default=False
        ),
    ] = None,
    include: Annotated[bool, typer.Option("-i", "--include", help="Print status and headers before the body.")] = False,
    public_url: PublicUrl = None,
    control: Control = None,
    token: Token = None,
    data_dir: DataDir = None,
    config: Config = None,
    json: JsonLines = False,
) -> None:
    """Send one request to a function and write its answer to stdout as it comes.

    The body of the request is streamed while the answer is read. A status of 400 or more and an answer that
    stops short are failures (exit code 1). With --mode this one request runs in another mode than the function's.
    With --json head, each piece and end are events with their times.
    """
    from dialback.comparing import check_mode, in_mode
    from dialback.invoking import Bytes, Events, Invocation
    from dialback.names import check_name
    from dialback.request_parts import outgoing
    from dialback.session import connect, settings_of

    check_name(name)
    if mode is not None:
        check_mode(mode)
    request = outgoing(name, path, method, data, header or [])
    address = settings_of(context).public_url
    if address is None or mode is not None:
        with connect(context) as client:
            address = address or client.platform().public_url
            request = request if mode is None else in_mode(client, name, mode, request)
    Invocation(name, Events() if json else Bytes(include)).write(address, request)
