"""A container's first program: fetches what the worker is from the platform's socket, then becomes the worker.

    python -I -S door.py

A container is made by the engine, so its command line, environment and labels can be read by whoever may ask the
engine. None of the three says anything here. This program connects to the one socket that is mounted for its container
and gets over it: three descriptors (log, standard output and error), the command line of the worker, its environment
and its working folder. The connection itself becomes the worker's control descriptor, on which the configuration
follows and whose end means that the platform is gone (`launch`, `watchdog`).

It runs before anything of the function's, on the standard library alone and without `site`, so it costs milliseconds.
"""

import json
import os
import socket
import sys

DOOR = "/run/dialback/door.sock"
HANDLES = ("log", "stdout", "stderr")
"""The descriptors, in the order in which they come."""


def receive(connection: socket.socket) -> "tuple[dict[str, object], dict[str, int]]":
    """The platform's message and the descriptors; ends exactly where the configuration begins."""
    head, handles, _, _ = socket.recv_fds(connection, 4, len(HANDLES))
    head += _exactly(connection, 4 - len(head))
    if len(handles) != len(HANDLES):
        raise SystemExit("dialback: the platform sent no descriptors; is the run folder on this machine?")
    message = _exactly(connection, int.from_bytes(head, "big"))
    return json.loads(message), dict(zip(HANDLES, handles))  # noqa: B905 - Python 3.10 is served, too


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise SystemExit("dialback: the platform closed the connection")
        data += piece
    return bytes(data)


def main() -> None:
    """Does not return: the process becomes the worker."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(DOOR)
    except OSError as error:
        connection.close()
        raise SystemExit(f"dialback: the platform's socket {DOOR} cannot be reached: {error.strerror}") from None
    given, handles = receive(connection)
    arguments, folder, environment = given["arguments"], given["folder"], given["environment"]
    assert isinstance(arguments, list)
    assert isinstance(folder, str)
    assert isinstance(environment, dict)
    # What only the image knows: its interpreter.
    environment.setdefault("PATH", f"{os.path.dirname(sys.executable)}:/usr/local/bin:/usr/bin:/bin")
    environment["AWS_EXECUTION_ENV"] = f"AWS_Lambda_python{sys.version_info[0]}.{sys.version_info[1]}"
    environment["DIALBACK_CONTROL_FD"] = str(connection.fileno())
    environment["DIALBACK_LOG_FD"] = str(handles["log"])
    os.set_inheritable(connection.fileno(), True)
    os.set_inheritable(handles["log"], True)
    if given.get("control_on_stdin"):
        os.dup2(connection.fileno(), 0)
    os.dup2(handles["stdout"], 1)
    os.dup2(handles["stderr"], 2)
    os.close(handles["stdout"])
    os.close(handles["stderr"])
    os.chdir(folder)
    os.execve(sys.executable, [sys.executable, *arguments], environment)


if __name__ == "__main__":
    main()
