"""`dialback env`: what is sent, what is shown, and where the values of secrets are not taken from."""

import json
import os
import pty
import subprocess
from collections.abc import Callable

import pytest
from command import COMMAND, Process, Run
from fake_platform import FakePlatform

VALUE = "sk-live-7f3a9c51"


def secret(value: str) -> dict[str, object]:
    return {"value": value, "secret": True}


def test_variables_are_set_in_one_step(run: Run, reachable: FakePlatform) -> None:
    done = run("env", "set", "chat", "A=1", "B=x=y", "C=")
    assert done.exit_code == 0, done.output
    (change,) = reachable.changes
    assert change["remove"] == []
    assert {name: given["value"] for name, given in change["put"].items()} == {"A": "1", "B": "x=y", "C": ""}
    assert "set A, B, C of chat" in done.stdout
    assert "new workers" in done.stdout


@pytest.mark.parametrize("typed", [b"two\nlines", b"two\nlines\n", b"two\nlines\r\n"])
def test_the_value_of_a_key_alone_is_read_from_a_pipe(
    spawn: Callable[..., Process], reachable: FakePlatform, typed: bytes
) -> None:
    done = spawn("env", "set", "chat", "KEY", "--secret", stdin=typed)
    assert done.code == 0, done.stderr
    assert reachable.changes == [{"put": {"KEY": secret("two\nlines")}, "remove": []}]
    assert b"lines" not in done.stdout


def test_a_secret_that_is_typed_on_the_command_line_is_refused(run: Run, reachable: FakePlatform) -> None:
    done = run("env", "set", "chat", f"KEY={VALUE}", "--secret")
    assert done.exit_code == 2
    assert "dialback env set NAME KEY --secret" in done.stderr
    assert VALUE not in done.output
    assert reachable.changes == []


def test_on_a_terminal_a_value_is_asked_for_and_not_shown(reachable: FakePlatform) -> None:
    terminal, ours = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, "env", "set", "chat", "KEY", "--secret"], stdin=ours, stdout=ours, stderr=ours, start_new_session=True
    )
    os.close(ours)
    said = b""
    while b"KEY: " not in said:
        said += os.read(terminal, 4096)
    os.write(terminal, VALUE.encode() + b"\n")
    try:
        while piece := os.read(terminal, 4096):
            said += piece
    except OSError:
        pass  # the other end is closed
    os.close(terminal)
    assert process.wait(30) == 0
    assert VALUE.encode() not in said
    assert reachable.changes[0]["put"] == {"KEY": secret(VALUE)}


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["A=1", "A=2"], b"", "A is given twice"),
        (["=1"], b"", "KEY=VALUE"),
        (["A", "B"], b"x", "several keys have none"),
        (["A"], b"", "standard input has no value for A"),
        (["A"], b"\xff", "not UTF-8"),
        (["A"], b"x" * 40_000, "more than 32,768 bytes"),
    ],
)
def test_what_cannot_be_set_is_said(
    spawn: Callable[..., Process], reachable: FakePlatform, arguments: list[str], stdin: bytes, message: str
) -> None:
    done = spawn("env", "set", "chat", *arguments, stdin=stdin)
    assert done.code == 2
    assert message in done.stderr
    assert reachable.changes == []


def test_the_list_shows_where_each_comes_from_and_no_secret(run: Run, reachable: FakePlatform) -> None:
    reachable.environment["variables"] = [
        {"name": "KEY", "kind": "secret", "value": None, "set_at": 1.0},
        {"name": "MODE", "kind": "file", "value": "slow\x1b[31m", "overridden": True},
        {"name": "MODE", "kind": "plain", "value": "x" * 100, "set_at": 1.0},
    ]
    done = run("env", "ls", "chat")
    assert done.exit_code == 0
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[1][:4] == ["KEY", "not", "shown", "secret"]
    assert rows[2] == ["MODE", "slow\\x1b[31m", "dialback.toml"]
    assert rows[3][1].endswith("...")
    assert json.loads(run("env", "ls", "chat", "--json").stdout)["variables"][0]["kind"] == "secret"


def test_a_function_without_variables_says_how_to_set_one(run: Run, reachable: FakePlatform) -> None:
    assert "dialback env set chat KEY=VALUE" in run("env", "ls", "chat").stdout


def test_variables_are_removed(run: Run, reachable: FakePlatform) -> None:
    assert "removed A, B of chat" in run("env", "rm", "chat", "A", "B", "A").stdout
    assert reachable.changes == [{"put": {}, "remove": ["A", "B"]}]
    assert json.loads(run("env", "rm", "chat", "A", "--json").stdout)["name"] == "chat"


def test_what_one_should_know_is_said(run: Run, reachable: FakePlatform) -> None:
    reachable.environment.update(deployed=False, fits_lambda=False, bytes=5000)
    done = run("env", "set", "chat", "A=1")
    assert "there is no such function yet" in done.stdout
    assert "5,000 bytes in all: AWS Lambda allows 4,096" in done.stdout
    assert json.loads(run("env", "set", "chat", "A=1", "--json").stdout)["bytes"] == 5000


def test_the_key_is_rotated(run: Run, reachable: FakePlatform) -> None:
    assert "2 secrets are sealed with a new key" in run("env", "rotate").stdout
    assert json.loads(run("env", "rotate", "--json").stdout) == {"secrets": 2}
