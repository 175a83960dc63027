"""`rollback`: let an earlier deployment serve again."""

# ruff: noqa: ARG001 - `session` reads the shared options from the context
from __future__ import annotations

from typing import Annotated

import typer

from dialback.options import Config, Control, DataDir, Json, Token


def rollback(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="N", help="The function.")],
    deployment: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]",
            help="A deployment, or the beginning of its id; else the one before the active one.",
            show_default=False,
        ),
    ] = None,
    control: Control = None,
    token: Token = None,
    data_dir: DataDir = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Let an earlier deployment serve again, at once. Streams that run go on to their end on the code they began with.

    `dialback ls --deployments` lists what there is.
    """
    from dialback.deploying import roll_back
    from dialback.function_view import deployed_view
    from dialback.names import check_name
    from dialback.session import connect
    from dialback.terminal import output_console, print_json

    check_name(name)
    with connect(context) as client:
        deployed = roll_back(client, name, deployment)
    if json:
        print_json(deployed.model_dump(mode="json"))
    else:
        output_console().print(deployed_view(deployed), soft_wrap=True)
