"""A process that has imported everything but the function, and waits to be told which command it is.

`dialback dev` keeps one ready for the next save: an interpreter that starts, with the bridge and the libraries that the
function imports, takes most of the time of a worker's start. What it becomes comes through a socket, as a line of JSON
and descriptors beside it: arguments, folder, environment, standard streams. Until then it has run nothing of the
function's, and it ends when the socket does.

Where what was imported in advance could make a difference, it executes the command anew instead: then it is as if it
had never been.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
import time
from typing import Any

READY = b"r"
EXIT_UNFIT = 4
"""Something that was imported in advance failed in a way that may have left traces."""

_DESCRIPTORS = ("DIALBACK_CONTROL_FD", "DIALBACK_LOG_FD")
_MOST_DESCRIPTORS = 16


def wait(fd: int, modules: list[str]) -> list[str]:
    """Import `modules`, say that this process is ready, and become what is asked for; returns its arguments.

    SystemExit when nobody asks any more, or when a module's failure makes this process unfit.
    """
    own = frozenset(sys.modules)
    with socket.socket(fileno=fd) as turn:
        _import(("dialback_bridge.worker", "dialback_bridge.inspection", "dialback_bridge.debugging", "uvloop"))
        _import(modules)
        try:
            turn.sendall(READY)
        except OSError:
            pass  # it was told already what to become, or that nobody wants it
        told, descriptors = _receive(turn)
    _become(told, descriptors)
    if _shadowed(told["folder"], frozenset(sys.modules) - own):
        os.execve(told["command"][0], told["command"], dict(os.environ))
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    arguments: list[str] = told["arguments"]
    return arguments


def _import(names: Any) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            pass  # the function tells of it, or knows how to do without
        except BaseException:
            os._exit(EXIT_UNFIT)


def _receive(turn: socket.socket) -> tuple[dict[str, Any], list[int]]:
    try:
        data, descriptors, _, _ = socket.recv_fds(turn, 65536, _MOST_DESCRIPTORS)
        while data and not data.endswith(b"\n") and (more := turn.recv(65536)):
            data += more
    except OSError:
        data = b""
    if not data.endswith(b"\n"):
        raise SystemExit(0)
    told: dict[str, Any] = json.loads(data)
    return told, descriptors


def _become(told: dict[str, Any], descriptors: list[int]) -> None:
    streams, passed = descriptors[:3], descriptors[3:]
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    del descriptors[:3]
    environment: dict[str, str] = told["environment"]
    numbers = {str(there): str(here) for there, here in zip(told["descriptors"], passed, strict=True)}
    for name in _DESCRIPTORS:
        if name in environment:
            environment[name] = numbers[environment[name]]
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(told["folder"])
    for descriptor in passed:
        os.set_inheritable(descriptor, True)


def _shadowed(folder: str, imported: frozenset[str]) -> bool:
    """Whether the function has a module of its own of the name of one that was imported from elsewhere."""
    tops = {name.partition(".")[0] for name in imported}
    return any(entry.partition(".")[0] in tops for entry in os.listdir(folder))
