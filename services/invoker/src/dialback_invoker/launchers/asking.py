"""Questions to a process that forks: a line of JSON each, with descriptors beside it, answered by another line.

What is asked, the bridge's `keeper` says. Everything here blocks and is for threads; several may ask at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

from dialback_invoker.launchers.cgroup import Group
from dialback_invoker.launchers.start import How, NotBegun

MOST_SECONDS = 10.0
"""For an answer: that of a keeper which has only been started comes when it has imported the bridge."""
LONGEST = 65_536
"""Bytes of an answer."""


class Line:
    """A socket on which one question is asked after the other."""

    def __init__(self, turn: socket.socket) -> None:
        turn.settimeout(MOST_SECONDS)
        self.turn = turn
        self._lock = threading.Lock()

    def ask(self, told: Mapping[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        """The answer. Raises NotBegun: there is none, and after that there never is one."""
        with self._lock:
            try:
                send(self.turn, told, descriptors)
                return answer_of(self._read())
            except (OSError, ValueError) as error:
                self.turn.close()
                raise NotBegun(f"no answer from a process that forks: {error}") from error

    def close(self) -> None:
        """Nothing is asked any more; whoever waits for an answer gets none."""
        with contextlib.suppress(OSError):
            self.turn.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self.turn.close()

    def _read(self) -> bytes:
        data = b""
        while not data.endswith(b"\n"):
            more = self.turn.recv(LONGEST)
            if not more or len(data) > LONGEST:
                raise ConnectionResetError("it has ended")
            data += more
        return data


def answer_of(line: bytes) -> dict[str, Any]:
    """An answer. Raises ValueError."""
    answer = json.loads(line)
    if not isinstance(answer, dict):
        raise ValueError("an answer is an object")
    return answer


class Forked:
    """A process that another one forked for us; that one is its parent. Implements `launchers.start.Process`."""

    def __init__(self, pid: int, ask: Callable[[int], int | None], group: Group | None = None) -> None:
        self.pid = pid
        self.group = group
        """The cgroup that it is in already."""
        self._ask = ask

    def poll(self) -> int | None:
        """Only its parent can tell, and that takes a moment."""
        return None

    def wait(self) -> int | None:
        """What its parent says."""
        return self._ask(self.pid)

    def kill(self) -> None:
        """SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def fork(line: Line, forker: str, command: Sequence[str], **how: Unpack[How]) -> int:
    """The number of a worker that was forked by ``forker``, whose folder's name that is. Raises NotBegun."""
    with open(os.devnull, "rb") as nothing:
        told, descriptors = _order(forker, command, nothing.fileno(), how)
        return pid_of(line.ask(told, descriptors))


def order(turn: socket.socket, forker: str, command: Sequence[str], **how: Unpack[How]) -> None:
    """Tells a worker that was forked before what it is to be, and closes its socket. Raises NotBegun: it has died."""
    try:
        with turn, open(os.devnull, "rb") as nothing:
            send(turn, *_order(forker, command, nothing.fileno(), how))
    except OSError as error:
        raise NotBegun(f"a process that waited has ended: {error}") from error


def pid_of(answer: Mapping[str, Any]) -> int:
    """Of the process that was asked for. Raises NotBegun."""
    if not isinstance(answer.get("pid"), int):
        raise NotBegun(f"no process could be forked: {answer.get('problem')}")
    return int(answer["pid"])


def send(turn: socket.socket, told: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """One line, with descriptors beside its beginning. Raises OSError."""
    line = json.dumps(told, separators=(",", ":")).encode() + b"\n"
    sent = socket.send_fds(turn, [line], descriptors)
    if sent < len(line):  # who has all of it may have closed the socket
        turn.sendall(line[sent:])


def _order(forker: str, command: Sequence[str], nothing: int, how: How) -> tuple[dict[str, Any], list[int]]:
    assert how["stdin"] == subprocess.DEVNULL
    told = {
        "do": "fork",
        "from": forker,
        "name": how["cwd"].parent.name,
        "command": list(command),
        "folder": str(how["cwd"]),
        "environment": dict(how["env"]),
        "descriptors": list(how["pass_fds"]),
    }
    return told, [nothing, how["stdout"], how["stderr"], *how["pass_fds"]]
