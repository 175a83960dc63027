"""What is written, in order, and not while somebody else has the terminal."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.text import Text

from dialback.dev import screen as module
from dialback.dev.screen import Screen


class Written:
    def __init__(self) -> None:
        self.data = b""
        self._changed = threading.Condition()

    def __call__(self, data: bytes) -> None:
        with self._changed:
            self.data += data
            self._changed.notify_all()

    def wait(self, true: Callable[[bytes], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: true(self.data), 5)


def test_a_person_sees_text_and_a_program_events(tmp_path: Path) -> None:
    for events, expected in ((False, b"hello\n"), (True, b'{"event":"x"}\n')):
        written = Written()
        screen = Screen(events, tmp_path / "lock", written)
        screen.show(Text("hello"), {"event": "x"})
        screen.show(None, None)
        screen.close()
        assert written.data == expected


def test_nothing_is_written_while_a_prompt_is_open_and_all_of_it_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    looked = threading.Event()
    monkeypatch.setattr(module.time, "sleep", lambda _: looked.set())
    prompt = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(prompt, fcntl.LOCK_EX)
    written = Written()
    screen = Screen(True, tmp_path / "lock", written)
    screen.show(None, {"n": 0})
    assert looked.wait(30)
    for number in range(1, 6):
        screen.show(None, {"n": number})
    assert written.data == b""
    os.close(prompt)
    written.wait(lambda data: b"dropped" in data and b'{"n":3}' in data)
    screen.close()
    lines = written.data.splitlines()
    assert [json.loads(line)["n"] for line in lines if line.startswith(b"{")] == [0, 1, 2, 3]
    assert b"2 lines were dropped" in lines


def test_a_reader_that_has_gone_is_no_reason_to_fail(tmp_path: Path) -> None:
    def gone(_: bytes) -> None:
        raise BrokenPipeError

    screen = Screen(False, tmp_path / "lock", gone)
    screen.show(Text("x"))
    screen.close()


def test_a_prompt_that_stays_open_does_not_hold_up_the_end(tmp_path: Path) -> None:
    prompt = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(prompt, fcntl.LOCK_EX)
    written = Written()
    screen = Screen(True, tmp_path / "lock", written)
    screen.show(None, {"n": 1})
    screen.close(5)
    assert written.data == b'{"n":1}\n'
    os.close(prompt)


def test_without_more_ado_it_goes_to_standard_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    screen = Screen(False, tmp_path / "lock")
    screen.show(Text("said"))
    screen.close()
    assert capfd.readouterr().out == "said\n"
