"""`dev`: a function while it is written."""

# ruff: noqa: ARG001 - `session` reads the shared options from the context
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dialback import options as o
from dialback.options import Config, DataDir

DEBUG_PORT = 5678
"""Where editors look for debugpy."""


def dev(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="DIR|FILE", help="The function's folder, or its one file.")],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="N", help="The name; else the one in dialback.toml, else the folder's."),
    ] = None,
    host: o.Host = None,
    port: o.Port = None,
    control_port: Annotated[
        str | None, o.setting("--control-port", "The control port; else a free one.", "PORT", o.LISTENING)
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help=f"Let an editor attach with debugpy, at port {DEBUG_PORT}.")
    ] = False,
    debug_port: Annotated[
        int | None,
        typer.Option("--debug-port", metavar="PORT", min=1, max=65535, help="The same at another port."),
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload/--no-reload", help="Load HTML pages anew after a save (on).", show_default=False)
    ] = True,
    data_dir: DataDir = None,
    config: Config = None,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line for all that happens.", rich_help_panel=o.OUTPUT)
    ] = False,
) -> None:
    """Serve one function at / and run it anew at each save, until Ctrl-C.

    Time-outs are off. A save that is broken is shown here and in the browser, and the version before it goes on.
    breakpoint() stops in this terminal.
    """
    from dialback.bundle import default_name
    from dialback.dev.options import DevOptions, dev_settings
    from dialback.dev.session import DevSession
    from dialback.errors import UsageProblem
    from dialback.names import check_name
    from dialback.session import settings_of

    if not (source.is_dir() or (source.is_file() and source.suffix == ".py")):
        missing = "there is no such file or folder" if not source.exists() else "it is neither a folder nor a .py file"
        raise UsageProblem(f"{source}: {missing}")
    if control_port is None:
        context.params["control_port"] = "0"
    settings = settings_of(context)
    chosen = check_name(name, "--name") if name is not None else default_name(source)
    wanted = debug_port or (DEBUG_PORT if debug else None)
    options = DevOptions(source, chosen, reload, json, wanted)
    raise typer.Exit(DevSession(dev_settings(settings, options, data_dir is not None), options).run())
