"""How a worker is told what it is: a line of JSON on the control descriptor, or, on AWS Lambda, the environment.

The launcher names two descriptors in the environment, and they are taken out of it before user code runs:
`DIALBACK_CONTROL_FD` gives the configuration and then stays open, because its end means that the platform died
(`watchdog`); `DIALBACK_LOG_FD` takes captured output (`log_capture`).

Secrets of the function stand in that line too. They become environment variables of this process after it has
started, so that `/proc/PID/environ`, which shows what a process was started with, does not have them;
`DIALBACK_CLOSED` says that there are some, and then the process closes its entry in `/proc` before it reads them
(`seclusion`).
"""

from __future__ import annotations

import json
import os
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

from .callback_url import Target, parse_target
from .event_loop import CHOICES
from .seclusion import seclude

CONTROL_VARIABLE = "DIALBACK_CONTROL_FD"
LOG_VARIABLE = "DIALBACK_LOG_FD"
CLOSED_VARIABLE = "DIALBACK_CLOSED"
RUNTIME_VARIABLE = "AWS_LAMBDA_RUNTIME_API"
VERSION = 1


class LaunchError(Exception):
    """The worker was started without, or with an unusable, configuration."""


@dataclass(frozen=True)
class Launch:
    """A worker's configuration. Times are in seconds."""

    secret: str | None = field(repr=False)
    """Bearer of the runtime API; None on AWS Lambda, whose runtime API asks for none."""
    runtime_socket: str | None
    """The runtime API's Unix socket, or None when `runtime_address` (host, port) is meant."""
    runtime_address: tuple[str, int] | None
    entry: str | None
    kind: str | None
    concurrency: int | None
    """Invocations at once; None: what suits the handler."""
    keep_socket: bool
    event_loop: str
    """`auto`, `asyncio` or `uvloop`; see `event_loop`."""
    allow: tuple[Target, ...]
    dial_timeout: float
    cancel_grace: float
    control_fd: int | None
    log_fd: int | None
    debugging: dict[str, Any] | None = None
    """For `debugging.read`, which is loaded only when there is something to read: it takes pdb along."""


def read_launch(environ: MutableMapping[str, str] | None = None) -> Launch:
    """The configuration of this process. Raises LaunchError.

    Takes the three variables out of `environ` (default: `os.environ`) and keeps child processes from inheriting the
    descriptors.
    """
    variables = os.environ if environ is None else environ
    control, log = variables.pop(CONTROL_VARIABLE, None), variables.pop(LOG_VARIABLE, None)
    log_fd = None if log is None else _own_descriptor(LOG_VARIABLE, log)
    if variables.pop(CLOSED_VARIABLE, None) is not None:
        seclude()
    if control is not None:
        fd = _own_descriptor(CONTROL_VARIABLE, control)
        return _from_line(read_line(fd), fd, log_fd, variables)
    if RUNTIME_VARIABLE in variables:
        return _from_environment(variables, log_fd)
    raise LaunchError(f"a worker is started by a launcher ({CONTROL_VARIABLE}) or by AWS Lambda ({RUNTIME_VARIABLE})")


def read_secrets(fd: int) -> dict[str, str]:
    """The variables on the first line of `fd`, read once this process is closed. Raises LaunchError."""
    seclude()
    try:
        return {str(name): str(value) for name, value in json.loads(read_line(fd)).items()}
    except (ValueError, AttributeError):
        raise LaunchError("the line of secrets cannot be used") from None


def _own_descriptor(name: str, text: str) -> int:
    try:
        fd = int(text)
        os.set_inheritable(fd, False)
    except (ValueError, OSError, OverflowError) as error:
        raise LaunchError(f"{name}={text!r} is not an open file descriptor") from error
    return fd


def read_line(fd: int) -> bytes:
    """One line, and not a byte more: what follows is the watchdog's."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(fd, 1)
        if not byte:
            raise LaunchError("the control descriptor ended before the configuration's line did")
        line += byte
    return bytes(line)


def _from_line(line: bytes, control_fd: int, log_fd: int | None, variables: MutableMapping[str, str]) -> Launch:
    try:
        given: dict[str, Any] = json.loads(line)
        if given["version"] != VERSION:
            raise LaunchError(f"configuration version {given['version']}; this bridge reads {VERSION}")
        if given.get("secrets"):
            seclude()  # once more: who was started before it was known what for was not told to
            variables.update(given["secrets"])
        return Launch(
            secret=given["secret"],
            runtime_socket=given["runtime_socket"],
            runtime_address=None,
            entry=given.get("entry"),
            kind=given.get("kind"),
            concurrency=given.get("concurrency"),
            keep_socket=_keeps(given.get("callback_socket", "keep")),
            event_loop=_loop(given.get("event_loop", "auto")),
            allow=tuple(Target(**{k: each[k] for k in ("scheme", "host", "port", "path")}) for each in given["allow"]),
            dial_timeout=float(given.get("dial_timeout", 5.0)),
            cancel_grace=float(given.get("cancel_grace", 0.5)),
            control_fd=control_fd,
            log_fd=log_fd,
            debugging=given.get("debugging"),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # The line holds the secret: say what is wrong with it, never what it says.
        raise LaunchError(f"the configuration's line cannot be used ({type(error).__name__})") from None


def _keeps(word: str) -> bool:
    if word not in ("keep", "each"):
        raise LaunchError(f"callback_socket is 'keep' or 'each', not {word!r}")
    return word == "keep"


def _loop(word: str) -> str:
    if word not in CHOICES:
        raise LaunchError(f"event_loop is {', '.join(map(repr, CHOICES))}, not {word!r}")
    return word


def _from_environment(variables: MutableMapping[str, str], log_fd: int | None) -> Launch:
    host, _, port = variables[RUNTIME_VARIABLE].rpartition(":")
    if not host or not port.isdecimal():
        raise LaunchError(f"{RUNTIME_VARIABLE} is not host:port")
    try:
        allow = tuple(
            parse_target(url.strip()) for url in variables.get("DIALBACK_ALLOW", "").split(",") if url.strip()
        )
    except ValueError as error:
        raise LaunchError(f"DIALBACK_ALLOW: {error}") from None
    at_once = variables.get("AWS_LAMBDA_MAX_CONCURRENCY", "1")
    if not at_once.isdecimal() or int(at_once) < 1:
        raise LaunchError("AWS_LAMBDA_MAX_CONCURRENCY is not a positive number")
    return Launch(
        secret=None,
        runtime_socket=None,
        runtime_address=(host, int(port)),
        entry=variables.get("DIALBACK_ENTRY") or variables.get("_HANDLER") or None,
        kind=None,
        concurrency=int(at_once),
        keep_socket=_keeps(variables.get("DIALBACK_CALLBACK_SOCKET", "keep")),
        event_loop=_loop(variables.get("DIALBACK_EVENT_LOOP", "auto")),
        allow=allow,
        dial_timeout=5.0,
        cancel_grace=0.5,
        control_fd=None,
        log_fd=log_fd,
    )
