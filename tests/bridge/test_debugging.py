"""Breakpoints in a process without a terminal of its own."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dialback_bridge import debugging, log_capture
from dialback_bridge.debugging import Debugging

PROGRAM = """
import json, sys, threading
from dialback_bridge import debugging, log_capture
log = log_capture.LogSink(int(sys.argv[2]))
debugging.install(debugging.read(json.loads(sys.argv[1])), log)
def work(number):
    answer = 40 + number
    breakpoint()
    return answer
def run(number):
    sys.stdout.write(f"{work(number)}\\n")  # in one piece: print writes the end of a line apart
    sys.stdout.flush()
threads = [threading.Thread(target=run, args=[number]) for number in range(int(sys.argv[3]))]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


class Terminal:
    """A terminal, and the person at it."""

    def __init__(self) -> None:
        self.ours, theirs = pty.openpty()
        self.device = os.ttyname(theirs)
        self._theirs = theirs
        self.text = ""

    def until(self, words: str, seconds: float = 30) -> str:
        end = time.monotonic() + seconds
        while words not in self.text:
            readable, _, _ = select.select([self.ours], [], [], max(0, end - time.monotonic()))
            assert readable, f"no {words!r} in {self.text!r}"
            self.text += os.read(self.ours, 65536).decode()
        before, _, self.text = self.text.partition(words)
        return before

    def type(self, line: str) -> None:
        os.write(self.ours, line.encode() + b"\n")

    def close(self) -> None:
        os.close(self.ours)
        os.close(self._theirs)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


@pytest.fixture
def lines() -> Iterator[tuple[int, int]]:
    pair = os.pipe()
    yield pair
    for handle in pair:
        os.close(handle)


def begin(folder: Path, log: int, count: int = 1, **configured: object) -> subprocess.Popen[str]:
    (folder / "program.py").write_text(PROGRAM)
    words = [sys.executable, "program.py", json.dumps(configured), str(log), str(count)]
    return subprocess.Popen(
        words, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, pass_fds=[log], text=True,
        start_new_session=True,
    )  # fmt: skip


def test_a_breakpoint_talks_on_the_terminal_and_the_function_goes_on(
    tmp_path: Path, terminal: Terminal, lines: tuple[int, int]
) -> None:
    lock = tmp_path / "lock"
    process = begin(tmp_path, lines[1], terminal=terminal.device, lock=str(lock), source="/home/me/fn", later="x")
    shown = terminal.until("(Pdb)")
    assert "■ breakpoint" in shown
    assert "> /home/me/fn/program.py(" in shown
    with lock.open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    terminal.type("p answer + 1")
    terminal.until("41")
    terminal.type("!answer = 7")
    terminal.type("c")
    assert process.communicate(timeout=120)[0] == "7\n"
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_several_breakpoints_wait_for_each_other(tmp_path: Path, terminal: Terminal, lines: tuple[int, int]) -> None:
    process = begin(tmp_path, lines[1], 3, terminal=terminal.device, lock=str(tmp_path / "lock"))
    for _ in range(3):
        terminal.until("(Pdb)")
        assert "(Pdb)" not in terminal.text, "one prompt at a time"
        terminal.type("c")
    assert sorted(process.communicate(timeout=120)[0].split()) == ["40", "41", "42"]


def test_stepping_goes_on_in_the_users_code(tmp_path: Path, terminal: Terminal, lines: tuple[int, int]) -> None:
    process = begin(tmp_path, lines[1], terminal=terminal.device, lock=str(tmp_path / "lock"))
    terminal.until("(Pdb)")
    terminal.type("n")
    assert "->40" in terminal.until("(Pdb)")
    terminal.type("c")
    assert process.communicate(timeout=120)[0] == "40\n"


def test_without_a_terminal_it_is_passed_over_and_said(tmp_path: Path, lines: tuple[int, int]) -> None:
    process = begin(tmp_path, lines[1], terminal="", lock=str(tmp_path / "lock"))
    assert process.communicate(timeout=120)[0] == "40\n"
    said = json.loads(os.read(lines[0], 65536))
    assert said["level"] == "WARNING"
    assert said["line"].startswith("breakpoint() at program.py:8 was passed over")


def test_the_function_s_own_choice_of_a_debugger_stays(monkeypatch: pytest.MonkeyPatch, lines: tuple[int, int]) -> None:
    monkeypatch.setenv("PYTHONBREAKPOINT", "0")
    before = sys.breakpointhook
    debugging.install(Debugging(terminal="/dev/null"), log_capture.LogSink(lines[1]))
    assert sys.breakpointhook is before


def test_debugpy_that_is_missing_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, lines: tuple[int, int]
) -> None:
    monkeypatch.setattr(sys, "breakpointhook", sys.breakpointhook)
    monkeypatch.setitem(sys.modules, "debugpy", None)
    debugging.install(Debugging(port=5678), log_capture.LogSink(lines[1]))
    assert "pip install debugpy" in json.loads(os.read(lines[0], 65536))["line"]


def test_debugpy_comes_from_elsewhere_and_the_port_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lines: tuple[int, int]
) -> None:
    (tmp_path / "debugpy").mkdir()
    (tmp_path / "debugpy" / "__init__.py").write_text(
        "tries = []\n"
        "def listen(address):\n"
        "    tries.append(address)\n"
        "    if len(tries) < 3: raise RuntimeError('in use')\n"
        "def is_client_connected(): return True\n"
        "stops = []\n"
        "def breakpoint(): stops.append(1)\n"
    )
    (tmp_path / "pydevd_file_utils.py").write_text(
        "def setup_client_server_paths(paths):\n    global seen\n    seen = paths\n"
    )
    monkeypatch.setattr(sys, "breakpointhook", sys.breakpointhook)
    for name in ("debugpy", "pydevd_file_utils"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *(path for path in sys.path if "site-packages" not in path)])
    monkeypatch.setattr(debugging, "LISTEN_PAUSE", 0.0)
    debugging.install(Debugging(port=5678, path=str(tmp_path), source="/home/me"), log_capture.LogSink(lines[1]))
    debugpy = sys.modules["debugpy"]
    assert debugpy.tries == [("127.0.0.1", 5678)] * 3
    assert sys.modules["pydevd_file_utils"].seen == [("/home/me", os.getcwd())]
    sys.breakpointhook()
    assert debugpy.stops == [1], "an editor that is attached stops itself"
    monkeypatch.setattr(debugging, "LISTEN_TRIES", 1)
    debugpy.tries.clear()
    debugging.install(Debugging(port=5678), log_capture.LogSink(lines[1]))
    assert "in use" in json.loads(os.read(lines[0], 65536))["line"]
    for name in ("debugpy", "pydevd_file_utils"):
        del sys.modules[name]
