"""The one place where failures are printed, and where they become exit codes."""

from __future__ import annotations

import os
import sys
import traceback

from dialback.errors import FAILED, INTERRUPTED, USAGE, CliError, OutputClosed
from dialback.terminal import QUIET, error_console, safe


def report(failure: BaseException) -> int:
    """Print `error: ...` (with place, source line and hint when there are any) to stderr; the exit code."""
    if isinstance(failure, OutputClosed):
        discard_output()
        return failure.exit_code
    if isinstance(failure, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(failure, CliError):
        print_error(failure)
        return failure.exit_code
    if isinstance(failure, OSError):
        print_error(CliError(describe_os_error(failure)))
        return FAILED
    if os.environ.get("DIALBACK_DEBUG"):
        traceback.print_exception(failure)
    print_error(
        CliError(
            f"this is a bug in dialback: {type(failure).__name__}: {failure}",
            hint="DIALBACK_DEBUG=1 prints the traceback that a report needs",
        )
    )
    return FAILED


def report_usage(message: str, command: str) -> int:
    """An argument that the parser refused."""
    print_error(CliError(message.rstrip("."), hint=f"{command} --help shows what it takes"))
    return USAGE


def print_error(failure: CliError) -> None:
    """`error: message`, `  --> file:line`, the source line, `hint: ...`; every part sanitised."""
    from rich.text import Text

    text = Text.assemble(("error: ", "bold red"), (safe(failure.message, keep="\n"), "bold"))
    if failure.file is not None:
        place = failure.file if failure.line is None else f"{failure.file}:{failure.line}"
        text.append("\n  --> ", "blue").append(safe(place))
    if failure.source is not None:
        number = "" if failure.line is None else str(failure.line)
        text.append(f"\n  {number:>4} | ", "blue").append(safe(failure.source.rstrip()))
    if failure.hint:
        text.append("\nhint: ", "cyan").append(safe(failure.hint, keep="\n"))
    try:
        error_console().print(text, soft_wrap=True)
    except OSError:
        pass  # stderr is gone: the exit code still says it


def print_note(message: str) -> None:
    """One line to stderr that is no error."""
    try:
        error_console().print(safe(message), soft_wrap=True, style=QUIET)
    except OSError:
        pass  # nobody reads it


def describe_os_error(failure: OSError) -> str:
    """`/some/file: Permission denied` instead of `[Errno 13] ...`."""
    what = failure.strerror or str(failure) or type(failure).__name__
    return what if failure.filename is None else f"{os.fsdecode(failure.filename)}: {what}"


def discard_output() -> None:
    """Point stdout at nothing, so that the interpreter's last flush does not complain about the closed pipe."""
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
    except (OSError, ValueError):
        pass  # stdout is no file, as under a test's runner
