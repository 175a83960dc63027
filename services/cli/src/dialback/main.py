"""The command `dialback`: its subcommands, and the one way out for everything that goes wrong."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from dialback.commands.check import check
from dialback.commands.dev import dev
from dialback.commands.doctor import doctor
from dialback.commands.env import env
from dialback.commands.functions import deploy, ls, ps, rm
from dialback.commands.init import init
from dialback.commands.invoke import invoke
from dialback.commands.logs import logs
from dialback.commands.replay import replay
from dialback.commands.rollback import rollback
from dialback.commands.serve import serve, up
from dialback.commands.simulate import simulate
from dialback.commands.trace import compare, trace
from dialback.errors import INTERRUPTED, OK, OutputClosed
from dialback.options import Command, Group

EPILOG = """
Exit codes: 0 well · 1 a failure that the platform or the function reported · 2 wrong usage or configuration ·
3 the platform cannot be reached · 130 interrupted · 141 the reader of a pipe went away.

Every flag of `up` and `serve` is also an environment variable (--control-port: DIALBACK_CONTROL_PORT) and a key of
dialback-platform.toml (control_port = 8081); a flag comes before a variable, a variable before the file.
NO_COLOR is respected.
"""


class Dialback(Group):
    """The root group: exceptions become `error: ...` and an exit code here, also under a test's runner."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> NoReturn:
        options["standalone_mode"] = False
        typed = list(sys.argv[1:] if args is None else args)
        try:
            code = super().main(typed or ["--help"], *rest, **options)
            sys.stdout.flush()
        except typer.Abort:
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            sys.exit(_report(OutputClosed("the output was closed")))
        except Exception as failure:
            sys.exit(_report(failure))
        sys.exit(code if isinstance(code, int) else OK)

    def invoke(self, ctx: Any) -> Any:
        """A pipe that was closed is named here, before typer makes another exit code of it."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as closed:
            raise OutputClosed("the output was closed") from closed


def _report(failure: Exception) -> int:
    from dialback.report import report, report_usage

    if isinstance(failure, typer.TyperException):
        context = getattr(failure, "ctx", None)
        words = getattr(failure, "format_message", failure.__str__)()
        return report_usage(words, context.command_path if context else "dialback")
    return report(failure)


app = typer.Typer(
    name="dialback",
    cls=Dialback,
    help="Serverless functions on your own machine that stream even where their runtime cannot.",
    epilog=EPILOG,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

SERVING, FUNCTIONS, WATCHING = "Serving", "Functions", "Watching"
app.command(cls=Command, rich_help_panel=SERVING)(up)
app.command(cls=Command, rich_help_panel=SERVING)(dev)
app.add_typer(serve, name="serve", rich_help_panel=SERVING)
app.command(cls=Command, rich_help_panel=SERVING)(simulate)
app.command(cls=Command, rich_help_panel=FUNCTIONS)(init)
app.command(cls=Command, rich_help_panel=FUNCTIONS)(deploy)
app.command(cls=Command, rich_help_panel=FUNCTIONS)(ls)
app.command(cls=Command, rich_help_panel=FUNCTIONS)(ps)
app.command(cls=Command, rich_help_panel=FUNCTIONS)(rollback)
app.command(cls=Command, rich_help_panel=FUNCTIONS)(rm)
app.command(cls=Command, rich_help_panel=FUNCTIONS)(logs)
app.add_typer(env, name="env", rich_help_panel=FUNCTIONS)
app.command(cls=Command, rich_help_panel=WATCHING)(invoke)
app.command(cls=Command, rich_help_panel=WATCHING)(trace)
app.command(cls=Command, rich_help_panel=WATCHING)(compare)
app.command(cls=Command, rich_help_panel=WATCHING)(replay)
app.command(cls=Command, rich_help_panel=WATCHING)(check)
app.command(cls=Command, rich_help_panel=WATCHING)(doctor)


def print_version(wanted: bool = True) -> None:
    if wanted:
        from importlib.metadata import version as installed

        from dialback.terminal import print_line

        print_line(f"dialback {installed('dialback')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(cls=Command, rich_help_panel=SERVING)
def version() -> None:
    """Print the version."""
    print_version()


def main() -> NoReturn:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app()
    raise AssertionError("the root group always exits")
