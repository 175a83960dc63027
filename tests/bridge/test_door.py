"""A container's first program: what it gets through the door, and what it becomes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dialback_bridge import door

ENTER = "import sys, dialback_bridge.door as door; door.DOOR = sys.argv[1]; door.main()"


class Platform:
    """The other side: a socket, and three pipes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "door.sock"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen(1)
        self.listener.settimeout(30)

    def serve(self, message: dict[str, Any], configuration: bytes = b"") -> tuple[socket.socket, dict[str, int]]:
        connection, _ = self.listener.accept()
        pipes = {name: os.pipe() for name in door.HANDLES}
        encoded = json.dumps(message).encode()
        handles = [write for _, write in pipes.values()]
        socket.send_fds(connection, [len(encoded).to_bytes(4, "big")], handles)
        for handle in handles:
            os.close(handle)
        connection.sendall(encoded + configuration)
        return connection, {name: read for name, (read, _) in pipes.items()}


@pytest.fixture
def platform(tmp_path: Path) -> Any:
    made = Platform(tmp_path)
    yield made
    made.listener.close()


def read_all(handle: int) -> str:
    with os.fdopen(handle, "rb") as file:
        return file.read().decode()


@pytest.mark.parametrize("on_stdin", [False, True])
def test_it_becomes_what_it_is_told_with_that_environment_and_nothing_of_its_own(
    platform: Platform, tmp_path: Path, on_stdin: bool
) -> None:
    program = (
        "import json, os, sys\n"
        f"control = 0 if {on_stdin} else int(os.environ['DIALBACK_CONTROL_FD'])\n"
        "line = os.read(control, 100).decode()\n"
        "os.write(int(os.environ['DIALBACK_LOG_FD']), b'to the log')\n"
        "sys.stderr.write('to stderr')\n"
        "print(json.dumps([line, os.getcwd(), dict(os.environ)]))\n"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", ENTER, str(platform.path)],
        env={"SECRET_OF_THE_CONTAINER": "x", "PATH": "/nowhere"},
        stdin=subprocess.DEVNULL,
    )
    message = {
        "arguments": ["-c", program],
        "folder": str(tmp_path),
        "environment": {"GREETING": "hello"},
        "control_on_stdin": on_stdin,
    }
    connection, outputs = platform.serve(message, b"configuration\n")
    line, folder, environment = json.loads(read_all(outputs["stdout"]))
    assert (line, folder) == ("configuration\n", str(tmp_path))
    assert read_all(outputs["stderr"]) == "to stderr"
    assert read_all(outputs["log"]) == "to the log"
    assert environment["GREETING"] == "hello"
    assert environment["PATH"].startswith(str(Path(sys.executable).parent))
    assert environment["AWS_EXECUTION_ENV"].startswith("AWS_Lambda_python3.")
    assert "SECRET_OF_THE_CONTAINER" not in environment
    assert worker.wait(30) == 0
    assert connection.recv(1) == b"", "its end is the worker's end"
    connection.close()


def test_what_comes_in_pieces_is_put_together_and_not_a_byte_more_is_read() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, open(os.devnull, "wb") as null:
        message = json.dumps({"environment": {"BIG": "x" * 100_000}}).encode()
        socket.send_fds(ours, [len(message).to_bytes(4, "big")[:2]], [null.fileno()] * 3)
        ours.sendall(len(message).to_bytes(4, "big")[2:] + message + b"the rest")
        given, handles = door.receive(theirs)
        assert len(given["environment"]["BIG"]) == 100_000  # type: ignore[index]
        assert list(handles) == ["log", "stdout", "stderr"]
        assert theirs.recv(100) == b"the rest"
        for handle in handles.values():
            os.close(handle)


def test_a_platform_that_sends_no_descriptors_or_leaves_is_said_so() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall((2).to_bytes(4, "big") + b"{}")
        with pytest.raises(SystemExit, match="no descriptors"):
            door.receive(theirs)
        ours.close()
    ours, theirs = socket.socketpair()
    with theirs, open(os.devnull, "wb") as null:
        socket.send_fds(ours, [(20).to_bytes(4, "big")], [null.fileno()] * 3)
        ours.close()
        with pytest.raises(SystemExit, match="closed the connection"):
            door.receive(theirs)


def test_a_door_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "DOOR", str(tmp_path / "nothing.sock"))
    with pytest.raises(SystemExit, match=r"nothing\.sock cannot be reached"):
        door.main()
