from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from aiohttp import web
from command import Run
from fake_platform import FUNCTION, ID, FakePlatform, fault

from dialback.whereabouts import Running


@pytest.fixture
def function(tmp_path: Path) -> Path:
    made = tmp_path / "hello"
    made.mkdir()
    (made / "app.py").write_text("app = 1")
    return made


def test_deploy_uploads_the_folder_and_prints_both_addresses(run: Run, reachable: FakePlatform, function: Path) -> None:
    result = run("deploy", str(function))
    assert result.exit_code == 0
    assert "hello is live" in result.stdout
    assert f"{reachable.public_url}/@hello/" in result.stdout
    [(name, kind, body)] = reachable.uploads
    assert (name, kind) == ("hello", "application/gzip")
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        assert archive.getnames() == ["app.py"]


def test_deploy_takes_a_name_and_speaks_json(run: Run, reachable: FakePlatform, function: Path) -> None:
    result = run("deploy", str(function), "--name", "other", "--json")
    assert json.loads(result.stdout)["name"] == "other"


def test_a_mistake_in_a_function_is_shown_with_file_line_and_source(
    run: Run, reachable: FakePlatform, function: Path
) -> None:
    place = {"file": "app.py", "line": 3, "source": "    retrun 1"}
    reachable.answer = lambda request: fault(422, "syntax_error", "invalid syntax", **place)
    result = run("deploy", str(function))
    assert result.exit_code == 1
    assert "error: invalid syntax\n  --> app.py:3\n     3 |     retrun 1" in result.stderr


@pytest.mark.parametrize("arguments", [["missing"], [".", "--name", "../x"], [".", "--name", "-x"], []])
def test_what_cannot_be_deployed_is_exit_code_2(run: Run, reachable: FakePlatform, arguments: list[str]) -> None:
    result = run("deploy", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert reachable.uploads == []


def test_ls_lists_functions(run: Run, reachable: FakePlatform) -> None:
    result = run("ls")
    assert result.stdout.splitlines()[1].split()[:6] == ["chat", "asgi", "app:app", "callback", "1", "2"]
    assert json.loads(run("ls", "--json").stdout) == {"functions": [FUNCTION]}


def test_empty_lists_say_what_to_do(run: Run, reachable: FakePlatform) -> None:
    reachable.functions = []
    assert "dialback deploy DIR" in run("ls").stdout
    empty = {"workers": [], "invocations": []}
    reachable.answer = lambda request: web.json_response(empty)
    stdout = run("ps").stdout
    assert "no workers" in stdout
    assert "nothing in flight" in stdout


def test_ps_lists_workers_and_invocations_in_flight(run: Run, reachable: FakePlatform) -> None:
    stdout = run("ps").stdout
    assert "20.0 MiB" in stdout
    assert "1,234" in stdout
    assert ID in stdout
    assert "GET /v1/invocations?live=1&limit=200" in reachable.asked
    assert set(json.loads(run("ps", "--json").stdout)) == {"workers", "invocations"}


def test_rm_removes(run: Run, reachable: FakePlatform) -> None:
    assert run("rm", "chat").stdout == "removed chat\n"
    assert reachable.removed == ["chat"]
    assert json.loads(run("rm", "chat", "--json").stdout) == {"removed": "chat"}


def test_rm_of_what_is_not_there_fails(run: Run, reachable: FakePlatform) -> None:
    result = run("rm", "nobody")
    assert (result.exit_code, result.stderr) == (1, "error: there is no function nobody\n")


@pytest.mark.parametrize("name", ["a/b", "..", "a b", "x" * 10_000, "é"])
@pytest.mark.parametrize("command", ["rm", "logs", "invoke", "compare"])
def test_a_name_that_is_none_reaches_nobody(run: Run, reachable: FakePlatform, command: str, name: str) -> None:
    result = run(command, name)
    assert result.exit_code == 2
    assert len(result.stderr) < 400
    assert reachable.asked == []


LINES = [
    {"at": 1_700_000_000.25, "worker": "w_1", "invocation": None, "stream": "stdout", "line": "booting\x1b[2J"},
    {"at": 1_700_000_001.5, "invocation": ID, "stream": "log", "level": "ERROR", "line": "oh no\n"},
    {"invocation": ID, "stream": "stderr", "line": "traceback"},
]


def test_logs_shows_lines_with_their_owner_and_no_control_characters(run: Run, reachable: FakePlatform) -> None:
    reachable.log_lines = LINES
    result = run("logs", "chat", "-n", "3")
    assert result.stdout.splitlines() == [
        "22:13:20.250  w_1     booting\\x1b[2J",
        f"22:13:21.500  {ID[-6:]}  ERROR oh no",
        f"{ID[-6:]}  traceback",
    ]
    assert "GET /v1/functions/chat/logs?limit=3" in reachable.asked


def test_logs_speaks_one_json_object_a_line(run: Run, reachable: FakePlatform) -> None:
    reachable.log_lines = LINES
    assert [json.loads(line)["line"] for line in run("logs", "chat", "--json").stdout.splitlines()] == [
        line["line"] for line in LINES
    ]


def test_logs_can_begin_later(run: Run, reachable: FakePlatform) -> None:
    run("logs", "chat", "--since", "10m")
    assert "since=" in reachable.asked[-1]
    assert "is not an age" in run("logs", "chat", "--since", "yesterday").stderr


def test_errors_of_logs_are_shown(run: Run, reachable: FakePlatform) -> None:
    reachable.answer = lambda request: fault(404, "no_such_function", "there is no function chat")
    assert run("logs", "chat").stderr == "error: there is no function chat\n"


def test_an_answer_of_another_version_is_said(run: Run, reachable: FakePlatform) -> None:
    reachable.answer = lambda request: web.json_response({"functions": [{"nom": "x"}]})
    result = run("ls")
    assert result.exit_code == 1
    assert "functions.0.name: Field required" in result.stderr


def test_a_connection_that_breaks_is_said(run: Run, reachable: FakePlatform) -> None:
    def cut(request: web.Request) -> None:
        assert request.transport is not None
        request.transport.abort()

    reachable.answer = cut
    result = run("ls")
    assert result.exit_code == 3
    assert "closed the connection" in result.stderr


def test_the_running_platform_is_found_without_any_flag(run: Run, platform: FakePlatform, environment: Path) -> None:
    import os

    from fake_platform import TOKEN

    from dialback.whereabouts import write_running

    (environment / "control.token").write_text(TOKEN)
    write_running(environment, Running(platform.control_url, platform.public_url, os.getpid()))
    assert run("ls").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lss"], "No such command 'lss'"),
        (["ls", "--jsn"], "No such option: --jsn"),
        (["logs", "chat", "-n", "-1"], "greater than or equal to 0"),
        (["serve"], "Missing command"),
        (["rm"], "Missing argument"),
        (["up", "--port", "x"], "--port: 'x' is not a whole number"),
    ],
)
def test_wrong_usage_is_one_line_and_a_hint(run: Run, arguments: list[str], words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert words in result.stderr


def test_a_mistake_in_the_configuration_is_shown_with_its_line(run: Run) -> None:
    Path("dialback-platform.toml").write_text("prot = 1\n")
    result = run("ls")
    assert result.exit_code == 2
    assert "dialback-platform.toml:1\n     1 | prot = 1\nhint: did you mean 'port'?" in result.stderr


def test_help_tells_the_exit_codes_and_nothing_loads_for_it(run: Run) -> None:
    result = run()
    assert result.exit_code == 0
    for words in ("Exit codes", "130 interrupted", "deploy", "compare", "NO_COLOR"):
        assert words in result.stdout


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_the_version_is_told(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).stdout.startswith("dialback 0.")
