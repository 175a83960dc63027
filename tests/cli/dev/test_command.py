"""The command line of `dialback dev`."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from dialback.commands import dev as command
from dialback.dev import session as module
from dialback.dev.attaching import debugpy_folder, launch_json
from dialback.dev.options import DevOptions
from dialback.settings import Settings

Run = Callable[..., Result]
Seen = list[tuple[Settings, DevOptions]]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """What sessions are begun with."""
    found: Seen = []

    class Session:
        def __init__(self, settings: Settings, options: DevOptions) -> None:
            found.append((settings, options))

        def run(self) -> int:
            return 0

    monkeypatch.setattr(module, "DevSession", Session)
    return found


def function(name: str = "chat", **files: str) -> Path:
    folder = Path(name)
    folder.mkdir()
    for file, text in {"app.py": "", **files}.items():
        (folder / file).write_text(text)
    return folder


def test_the_function_is_named_as_a_deployment_would_be_and_is_at_the_root(run: Run, seen: Seen) -> None:
    function()
    assert run("dev", "chat").exit_code == 0
    settings, options = seen[0]
    assert (options.name, options.debug_port, options.reload, options.events) == ("chat", None, True, False)
    assert (settings.default, settings.edge.port, settings.control.port) == ("chat", 8080, 0)
    assert settings.queue.timeout == settings.drain_grace == 0


def test_its_data_folder_is_its_own_unless_one_is_named(run: Run, seen: Seen, environment: Path) -> None:
    function()
    run("dev", "chat")
    run("dev", "chat/app.py")
    run("dev", "chat", "--data-dir", "here")
    places = [settings.data_dir for settings, _ in seen]
    assert places[0].parent == places[1].parent == environment / "dev"
    assert places[0] != places[1]
    assert places[2] == Path("here").absolute()


def test_flags_are_heeded(run: Run, seen: Seen) -> None:
    function()
    words = ["--name", "x", "--port", "0", "--control-port", "7000", "--no-reload", "--json"]
    run("dev", "chat", *words, "--debug-port", "7001")
    run("dev", "chat", "--debug")
    settings, options = seen[0]
    assert (options.name, options.reload, options.events, options.debug_port) == ("x", False, True, 7001)
    assert (settings.edge.port, settings.control.port) == (0, 7000)
    assert seen[1][1].debug_port == command.DEBUG_PORT


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere: there is no such file or folder"),
        (["notes.txt"], "notes.txt: it is neither a folder nor a .py file"),
        (["chat", "--name", "a b"], "'a b' (--name) is not a function name"),
        (["chat", "--port", "x"], "--port: 'x' is not a whole number"),
        (["chat", "--debug-port", "0"], "--debug-port"),
    ],
)
def test_what_cannot_be_served_is_refused(run: Run, seen: Seen, words: list[str], said: str) -> None:
    function()
    Path("notes.txt").touch()
    result = run("dev", *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert seen == []


def test_files_are_shown_relative_where_they_are_near() -> None:
    folder = function()
    assert DevOptions(folder, "chat").folder == "chat"
    assert DevOptions(folder / "app.py", "chat").folder == "chat"
    assert DevOptions(Path("."), "x").folder == ""
    assert DevOptions(Path("/tmp"), "x").folder == "/tmp"


def test_what_an_editor_needs_is_said() -> None:
    assert json.loads(launch_json(7001))["connect"] == {"host": "127.0.0.1", "port": 7001}
    assert Path(debugpy_folder(), "debugpy").is_dir()


def test_a_real_session_says_that_it_is_ready_and_ends_well(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    function("real", **{"app.py": "def handler(event, context):\n    return 'x'\n"})
    process: Any = start("dev", "real", "--port", "0")
    assert b"real is at http://127.0.0.1:" in process.stdout.readline()
    line = b""
    while "✓ running after".encode() not in line:
        line = process.stdout.readline()
        assert line
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
