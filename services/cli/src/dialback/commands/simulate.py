"""`simulate`: a bad network or a buffering proxy in front of any server."""

# ruff: noqa: ARG001 - `session` reads the shared options from the context
from __future__ import annotations

from typing import Annotated

import typer

from dialback import options as o


def simulate(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="The server that is behind it: http://HOST:PORT.")],
    host: o.Host = None,
    port: Annotated[
        str | None,
        typer.Option("--port", metavar="PORT", help="Where it listens (a free port).", rich_help_panel=o.LISTENING),
    ] = None,
    slow_client: o.SlowClient = None,
    latency: o.Latency = None,
    drop_after: o.DropAfter = None,
    buffering_proxy: o.BufferingProxy = None,
    config: o.Config = None,
    json: o.Json = False,
) -> None:
    """Put a slow client, a long way, cuts or a buffering proxy in front of a server, until Ctrl-C.

    The same as the options of `up`, for a platform that runs already, or for any other HTTP/1.1 server.
    """
    from dialback.session import settings_of
    from dialback.simulators.stand_alone import run

    context.params["port"] = port or "0"
    settings = settings_of(context)
    raise typer.Exit(run(url, settings.public.host, settings.public.port, settings.conditions, json))
