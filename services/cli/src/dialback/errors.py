"""Every failure that the command reports, and the exit code each one has.

    CliError                 exit 1: the platform, the function or this machine said no
      UsageProblem           exit 2: what was typed, or a file that was named, is not right
      Unreachable            exit 3: there is no platform at the other end
      WrongToken             exit 1: the control API refused the token
      Refused                exit 1: the control API refused the request, with its own words
      Truncated              exit 1: an answer ended before it was complete
      StartProblem           exit 1: the platform could not start
      OutputClosed           exit 141: the reader of our output went away, as for a process that SIGPIPE ends

They are raised anywhere and printed in one place, `report`.
"""

from __future__ import annotations

import errno
from pathlib import Path

OK = 0
FAILED = 1
USAGE = 2
UNREACHABLE = 3
INTERRUPTED = 130
OUTPUT_CLOSED = 141


class CliError(Exception):
    """Something went wrong that a person can act on.

    `hint` says what to do next. `file` and `line` (from 1) name the place, `source` is the text of that line.
    """

    exit_code = FAILED

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        file: str | Path | None = None,
        line: int | None = None,
        source: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.file = None if file is None else str(file)
        self.line = line
        self.source = source


class UsageProblem(CliError):
    """An argument, an environment variable or a configuration file holds something that cannot be used."""

    exit_code = USAGE


class Unreachable(CliError):
    """Nothing that speaks Dialback's control API (or serves functions) answers at the address."""

    exit_code = UNREACHABLE


class WrongToken(CliError):
    """The control API answered 401."""


class Refused(CliError):
    """The control API answered with an error; `code` is its machine word, `status` the HTTP status."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str = "",
        hint: str = "",
        file: str | None = None,
        line: int | None = None,
        source: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, file=file, line=line, source=source)
        self.status = status
        self.code = code


class Truncated(CliError):
    """A response ended without its end."""


class StartProblem(CliError):
    """A port is in use, the data folder belongs to another platform, its database is damaged, ..."""


def cannot_listen(error: OSError, host: str, port: int, flag: str) -> StartProblem:
    """Why nothing listens there; `flag` is what chooses another port."""
    if error.errno == errno.EADDRINUSE:
        return StartProblem(f"port {port} on {host} is in use; choose another with {flag}, 0 for any")
    return StartProblem(f"cannot listen on {host}:{port} ({flag}): {error.strerror or error}")


class OutputClosed(CliError):
    """Standard output is a pipe that nobody reads any more; said with an exit code alone."""

    exit_code = OUTPUT_CLOSED
