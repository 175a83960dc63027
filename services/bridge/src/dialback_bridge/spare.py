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
import os
import socket
import sys
from typing import Any

from .handover import become, begin_anew, is_shadowed, receive

READY = b"r"
EXIT_UNFIT = 4
"""Something that was imported in advance failed in a way that may have left traces."""


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
        received = receive(turn)
    if received is None:
        raise SystemExit(0)
    told, descriptors = received
    passed = become(told, descriptors)
    if is_shadowed(told["folder"], frozenset(sys.modules) - own):
        begin_anew(told, passed)
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
