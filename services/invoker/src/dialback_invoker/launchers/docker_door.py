"""Our side of a container's door: the one socket through which a worker gets everything that is nobody else's business.

The engine makes the container; whoever may ask the engine can read its command line, its environment and its labels.
So all three are empty, and the container's first program (`dialback_bridge.door`) connects to a socket in the folder
that is mounted for this container alone. The first connection is served, no other: the socket is gone before code of
the function's runs. It gets the command line, the environment and three descriptors (log, standard output and error),
then the configuration. The connection stays open on both sides, and tells each of the other's death at once, without
the engine.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from dialback_invoker.errors import PathProblem

NAME = "door.sock"
OUTPUTS = ("log", "stdout", "stderr")


class Door:
    """One worker's, in ``folder``. `open`, then `admit`, then whoever has the connection closes it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def open(self) -> None:
        """Listens. Raises PathProblem."""
        try:
            self._listener.setblocking(False)
            self._listener.bind(str(self._path))
            self._path.chmod(0o666)  # the folder's parent is ours alone, and the container's user is another
            self._listener.listen(1)
        except OSError as error:
            self.close()
            raise PathProblem(f"cannot listen on {self._path}: {error.strerror or error}") from error

    async def admit(self) -> socket.socket:
        """The first program's connection; nobody else gets in afterwards."""
        connection, _ = await asyncio.get_running_loop().sock_accept(self._listener)
        self.close()
        return connection

    def close(self) -> None:
        """May be called again."""
        self._listener.close()
        self._path.unlink(missing_ok=True)


async def hand_over(
    connection: socket.socket,
    *,
    arguments: Sequence[str],
    folder: str,
    environment: Mapping[str, str],
    configuration: bytes = b"",
    control_on_stdin: bool = False,
) -> dict[str, int]:
    """Tells the first program what it becomes; our reading ends of its outputs, by name. OSError when it is gone."""
    message = json.dumps(
        {
            "arguments": list(arguments),
            "folder": folder,
            "environment": dict(environment),
            "control_on_stdin": control_on_stdin,
        }
    ).encode()
    ours: list[int] = []
    theirs: list[int] = []
    try:
        for _ in OUTPUTS:
            read, write = os.pipe()
            ours.append(read)
            theirs.append(write)
            os.fchmod(write, 0o666)  # else the container's user cannot open /dev/stderr
        socket.send_fds(connection, [len(message).to_bytes(4, "big")], theirs)
        await asyncio.get_running_loop().sock_sendall(connection, message + configuration)
    except BaseException:
        for handle in ours:
            os.close(handle)
        raise
    finally:
        for handle in theirs:
            os.close(handle)
    return dict(zip(OUTPUTS, ours, strict=True))


async def ended(connection: socket.socket) -> None:
    """Returns when everybody behind the connection is dead or has closed it."""
    loop = asyncio.get_running_loop()
    try:
        while await loop.sock_recv(connection, 4096):
            pass
    except OSError:
        pass
