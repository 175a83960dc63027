from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_platform import FakePlatform

from conftest import COMMAND, Run
from dialback import main as command
from dialback.errors import CliError, OutputClosed
from dialback.exchange import Incoming, Piece
from dialback.invoking import Bytes, phrase
from dialback.report import describe_os_error, discard_output, report
from dialback.terminal import OutputConsole, print_line, progress


class ClosedPipe(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_a_closed_pipe_is_one_error_wherever_it_is_met(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputClosed):
        OutputConsole(file=ClosedPipe()).print("x")
    monkeypatch.setattr(sys, "stdout", ClosedPipe())
    with pytest.raises(OutputClosed):
        print_line("x")
    monkeypatch.setattr(sys, "stdout", type("Out", (), {"buffer": ClosedPipe()}))
    with pytest.raises(OutputClosed):
        Bytes(include=False).piece(Piece(0.0, b"x", True))


def test_after_a_closed_pipe_what_is_left_goes_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert report(OutputClosed("x")) == 141
        closed.write("left over")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    discard_output()


def test_errors_show_place_source_and_hint(capsys: pytest.CaptureFixture[str]) -> None:
    failure = CliError("it is \x1b[31mwrong", file="app.py", line=120, source="x = \n", hint="write y")
    assert report(failure) == 1
    assert capsys.readouterr().err == "error: it is \\x1b[31mwrong\n  --> app.py:120\n   120 | x =\nhint: write y\n"
    report(CliError("no line", file="a.toml", source="x"))
    assert capsys.readouterr().err == "error: no line\n  --> a.toml\n       | x\n"


def test_an_error_that_nobody_can_read_still_has_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", ClosedPipe())
    assert report(CliError("x")) == 1


def test_an_interrupt_is_130_and_the_systems_errors_are_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(KeyboardInterrupt()) == 130
    assert report(PermissionError(13, "Permission denied", b"/x")) == 1
    assert capsys.readouterr().err == "error: /x: Permission denied\n"
    assert describe_os_error(OSError()) == "OSError"


def test_the_usual_phrase_stands_in_for_a_missing_one() -> None:
    assert [phrase(Incoming(0, status, b"", ())) for status in (404, 599)] == ["Not Found", ""]


def test_the_console_script_exits(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["dialback", "version"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("dialback ")


def test_progress_is_silent_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(count=True) as shown:
        shown.advance(shown.add_task("work"))
    assert capsys.readouterr().err == ""


def test_a_deploy_that_takes_long_shows_that_it_goes_on(reachable: FakePlatform) -> None:
    reachable.slow_deploy = True
    Path("app.py").write_text("app = 1")
    master, slave = os.openpty()
    process = subprocess.Popen([COMMAND, "deploy", "."], stdin=slave, stdout=subprocess.PIPE, stderr=slave)
    os.close(slave)
    seen = b""
    while b"starting work" not in seen:
        seen += os.read(master, 4096)
    reachable.gate.set()
    stdout, _ = process.communicate(timeout=20)
    os.close(master)
    assert process.returncode == 0
    assert b"work is live" in stdout


def test_a_terminal_sees_progress_only_after_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    from dialback import terminal

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    quick = Terminal()
    monkeypatch.setattr(sys, "stderr", quick)
    with progress() as shown:
        shown.add_task("quick work")
    assert "quick work" not in quick.getvalue()
    slow = Terminal()
    monkeypatch.setattr(sys, "stderr", slow)
    monkeypatch.setattr(terminal, "PROGRESS_AFTER", 0.0)
    with progress() as shown:
        shown.add_task("slow work")
        while "slow work" not in slow.getvalue():
            shown.refresh()
    assert "slow work" in slow.getvalue()


@pytest.mark.parametrize("words", [[], ["up"], ["serve"], ["serve", "edge"], ["deploy"], ["trace"]])
def test_help_shows_no_type_beside_what_takes_no_value(run: Run, words: list[str]) -> None:
    shown = run(*words, "--help").stdout
    assert "--help" in shown
    assert "<bool>" not in shown
