"""`env set`, `env ls`, `env rm`, `env rotate`: the variables of functions."""

# ruff: noqa: ARG001 - `session` reads the shared options from the context
from __future__ import annotations

from typing import Annotated

import typer

from dialback.completing import function_names
from dialback.options import Command, Config, Control, DataDir, Group, Json, Token

env = typer.Typer(cls=Group, help="Set, list and remove the environment variables of a function.")
Name = Annotated[
    str,
    typer.Argument(metavar="N", help="The function; it need not be deployed yet.", autocompletion=function_names),
]


@env.command("set", cls=Command)
def set_(
    context: typer.Context,
    name: Name,
    variables: Annotated[
        list[str],
        typer.Argument(metavar="KEY[=VALUE] ...", help="A KEY alone: its value is read from standard input."),
    ],
    secret: Annotated[
        bool, typer.Option("--secret", help="Seal it; it is handed to the function and shown to nobody again.")
    ] = False,
    control: Control = None,
    token: Token = None,
    data_dir: DataDir = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Set variables of a function; its next requests get new workers.

    A KEY without a value is asked for on a terminal without showing it, and read from a pipe otherwise; one line end
    at its end is left out. A secret is never taken from the command line, where other users and the shell's history
    see it. What is set here comes before what the table `env` of
    dialback.toml says.
    """
    from dialback.environment import given
    from dialback.environment_view import changed_view
    from dialback.names import check_name
    from dialback.session import connect
    from dialback.terminal import output_console, print_json

    check_name(name)
    put = given(variables, secret)
    with connect(context) as client:
        found = client.change_variables(name, put, ())
    if json:
        print_json(found.model_dump(mode="json"))
    else:
        output_console().print(changed_view(found, tuple(put), "set"), soft_wrap=True)


@env.command(cls=Command)
def ls(
    context: typer.Context,
    name: Name,
    control: Control = None,
    token: Token = None,
    data_dir: DataDir = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """List the variables of a function: those that were set, and those of its dialback.toml.

    The value of a secret is not shown, because the platform does not hand it out.
    """
    from dialback.environment_view import environment_view
    from dialback.names import check_name
    from dialback.session import connect
    from dialback.terminal import output_console, print_json

    check_name(name)
    with connect(context) as client:
        found = client.variables(name)
    if json:
        print_json(found.model_dump(mode="json"))
    else:
        output_console().print(environment_view(found))


@env.command(cls=Command)
def rm(
    context: typer.Context,
    name: Name,
    variables: Annotated[list[str], typer.Argument(metavar="KEY ...", help="Variables that were set.")],
    control: Control = None,
    token: Token = None,
    data_dir: DataDir = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Remove variables that were set; the next requests get new workers."""
    from dialback.environment_view import changed_view
    from dialback.names import check_name
    from dialback.session import connect
    from dialback.terminal import output_console, print_json

    check_name(name)
    keys = tuple(dict.fromkeys(variables))
    with connect(context) as client:
        found = client.change_variables(name, {}, keys)
    if json:
        print_json(found.model_dump(mode="json"))
    else:
        output_console().print(changed_view(found, keys, "removed"), soft_wrap=True)


@env.command(cls=Command)
def rotate(
    context: typer.Context,
    control: Control = None,
    token: Token = None,
    data_dir: DataDir = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Seal every secret with a new key and forget the old one. Functions notice nothing."""
    from dialback.session import connect
    from dialback.terminal import output_console, print_json

    with connect(context) as client:
        count = client.rotate_secrets()
    if json:
        print_json({"secrets": count})
    else:
        what = "1 secret is" if count == 1 else f"{count} secrets are"
        output_console().print(f"{what} sealed with a new key")
