"""`deploy`, `ls`, `ps`, `rm`: functions and what runs of them."""

# ruff: noqa: ARG001 - `session` reads the shared options from the context
from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from dialback.options import Config, Control, DataDir, Json, Token


def deploy(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="DIR|FILE", help="A folder, a file, or an archive.")],
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="N", help="The name; else the one in dialback.toml, else the folder's or file's."
        ),
    ] = None,
    control: Control = None,
    token: Token = None,
    data_dir: DataDir = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Deploy a function and print its addresses.

    A file .dialbackignore in the folder lists what stays out, in the language of .gitignore.
    """
    from dialback.deploying import deploy_bundle, pack_shown
    from dialback.function_view import deployed_view
    from dialback.session import connect
    from dialback.terminal import output_console, print_json

    with connect(context) as client, closing(pack_shown(source, name)) as bundle:
        deployed = deploy_bundle(client, bundle)
    if json:
        print_json(deployed.model_dump(mode="json"))
    else:
        output_console().print(deployed_view(deployed), soft_wrap=True)


def ls(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[N]", help="One function alone.", show_default=False)] = None,
    deployments: Annotated[
        bool, typer.Option("--deployments", help="Their versions: which can be rolled back to, and which is active.")
    ] = False,
    control: Control = None,
    token: Token = None,
    data_dir: DataDir = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """List the functions, or with --deployments their versions."""
    from dialback.control_models import Deployments, Functions
    from dialback.function_view import deployments_view, functions_view
    from dialback.names import check_name
    from dialback.session import connect
    from dialback.terminal import output_console, print_json

    if name is not None:
        check_name(name)
    found: Functions | Deployments
    with connect(context) as client:
        if deployments:
            found = client.deployments(name)
        else:
            found = client.functions() if name is None else Functions(functions=(client.function(name),))
    if json:
        print_json(found.model_dump(mode="json"))
    elif isinstance(found, Deployments):
        output_console().print(deployments_view(found.deployments))
    else:
        output_console().print(functions_view(found.functions))


def ps(
    context: typer.Context,
    control: Control = None,
    token: Token = None,
    data_dir: DataDir = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """List the workers, and the invocations in flight."""
    from dialback.function_view import invocations_view, workers_view
    from dialback.session import connect
    from dialback.terminal import output_console, print_json

    with connect(context) as client:
        workers, invocations = client.workers(), client.live()
    if json:
        print_json(workers.model_dump(mode="json") | invocations.model_dump(mode="json"))
        return
    console = output_console()
    console.print(workers_view(workers.workers))
    console.print()
    console.print(invocations_view(invocations.invocations))


def rm(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="N", help="The function.")],
    control: Control = None,
    token: Token = None,
    data_dir: DataDir = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Remove a function. Streams that run go on to their end."""
    from dialback.names import check_name
    from dialback.session import connect
    from dialback.terminal import output_console, print_json

    check_name(name)
    with connect(context) as client:
        client.remove(name)
    if json:
        print_json({"removed": name})
    else:
        output_console().print(f"removed {name}")
