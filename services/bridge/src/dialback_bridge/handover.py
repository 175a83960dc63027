"""What a process that waited is told to become: a line of JSON, with descriptors beside it.

The line has the folder, the whole environment, and the numbers that the passed descriptors have in it; the descriptors
are standard input, output and error, and then those.
"""

from __future__ import annotations

import json
import os
import socket
import time
from typing import Any

_NUMBERED = ("DIALBACK_CONTROL_FD", "DIALBACK_LOG_FD")
_MOST_DESCRIPTORS = 16
_STREAMS = 3

Told = dict[str, Any]


def receive(turn: socket.socket) -> tuple[Told, list[int]] | None:
    """The next line, and the descriptors that came with it; None when nobody asks any more."""
    try:
        data, descriptors, _, _ = socket.recv_fds(turn, 65536, _MOST_DESCRIPTORS)
        while data and not data.endswith(b"\n") and (more := turn.recv(65536)):
            data += more
    except OSError:
        data = b""
    if not data.endswith(b"\n"):
        return None
    told: Told = json.loads(data)
    return told, descriptors


def become(told: Told, descriptors: list[int]) -> list[int]:
    """Take over streams, environment and folder; the passed descriptors, which nobody inherits from here."""
    streams, passed = descriptors[:_STREAMS], descriptors[_STREAMS:]
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    environment: dict[str, str] = told["environment"]
    numbers = {str(there): str(here) for there, here in zip(told["descriptors"], passed, strict=True)}
    for name in _NUMBERED:
        if name in environment:
            environment[name] = numbers[environment[name]]
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(told["folder"])
    for descriptor in passed:
        os.set_inheritable(descriptor, False)
    return passed


def begin_anew(told: Told, passed: list[int]) -> None:
    """Execute the command itself instead, as if this process had never waited."""
    for descriptor in passed:
        os.set_inheritable(descriptor, True)
    os.execve(told["command"][0], told["command"], dict(os.environ))


def is_shadowed(folder: str, imported: frozenset[str]) -> bool:
    """Whether the function has a module of its own of the name of one that was imported from elsewhere."""
    tops = {name.partition(".")[0] for name in imported}
    return any(entry.partition(".")[0] in tops for entry in os.listdir(folder))
