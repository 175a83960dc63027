"""A process that becomes what it is told."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import json, os, sys
from dialback_bridge.spare import wait
try:
    arguments = wait(int(sys.argv[1]), sys.argv[2:])
except SystemExit as ended:
    sys.exit(50 + ended.code)
print(json.dumps([arguments, os.getcwd(), os.environ.get("GREETING"), os.environ.get("DIALBACK_LOG_FD")]), flush=True)
os.write(int(os.environ["DIALBACK_LOG_FD"]), b"logged")
"""


class Told:
    """One spare, and the ends of what it is given."""

    def __init__(self, *modules: str, path: Path | None = None) -> None:
        self.turn, theirs = socket.socketpair()
        words = [sys.executable, "-c", PROGRAM, str(theirs.fileno()), *modules]
        variables = os.environ | ({"PYTHONPATH": str(path)} if path else {})
        self.process = subprocess.Popen(words, pass_fds=[theirs.fileno()], env=variables)
        theirs.close()

    def become(self, folder: Path, parts: int = 1, **more: Any) -> tuple[bytes, bytes]:
        """What it prints, and what it logs."""
        out, log = os.pipe(), os.pipe()
        told = {
            "arguments": ["worker"],
            "command": [sys.executable, "-c", "print('anew')"],
            "folder": str(folder),
            "environment": {"GREETING": "hi", "DIALBACK_LOG_FD": "77", **more},
            "descriptors": [77],
        }
        line = json.dumps(told).encode() + b"\n"
        first, *rest = [line[at : at + -(-len(line) // parts)] for at in range(0, len(line), -(-len(line) // parts))]
        nothing = os.open(os.devnull, os.O_RDWR)
        socket.send_fds(self.turn, [first], [nothing, out[1], 2, log[1]])
        for part in rest:
            self.turn.sendall(part)
        for handle in (nothing, out[1], log[1]):
            os.close(handle)
        with os.fdopen(out[0], "rb") as said, os.fdopen(log[0], "rb") as logged:
            found = said.read(), logged.read()
        self.process.wait(30)
        self.turn.close()
        return found


@pytest.mark.parametrize("parts", [1, 3])
def test_it_has_the_folder_the_environment_and_the_streams_that_it_was_given(tmp_path: Path, parts: int) -> None:
    said, logged = Told("colorsys", "nowhere_to_be_found").become(tmp_path, parts, FILLER="x" * 100)
    arguments, folder, greeting, number = json.loads(said)
    assert (arguments, folder, greeting) == (["worker"], str(tmp_path), "hi")
    assert number != "77", "the number that the descriptor has here"
    assert logged == b"logged"


def test_it_says_when_it_is_ready(tmp_path: Path) -> None:
    told = Told()
    assert told.turn.recv(1) == b"r"
    told.become(tmp_path)
    assert told.process.returncode == 0


def test_a_function_s_own_module_makes_it_begin_anew(tmp_path: Path) -> None:
    (tmp_path / "colorsys.py").touch()
    assert Told("colorsys").become(tmp_path) == (b"anew\n", b"")


def test_it_ends_when_nobody_asks(tmp_path: Path) -> None:
    told = Told()
    told.turn.close()
    assert told.process.wait(30) == 50


def test_a_module_that_fails_makes_it_unfit(tmp_path: Path) -> None:
    (tmp_path / "worse.py").write_text("raise ValueError\n")
    told = Told("worse", path=tmp_path)
    assert told.process.wait(30) == 4
    told.turn.close()
