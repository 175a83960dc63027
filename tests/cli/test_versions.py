"""`ls --deployments`, `rollback`, and what `deploy` shows while dependencies are installed."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from command import Run
from fake_platform import FUNCTION, ROLLED_BACK, FakePlatform, fault
from rich.console import Console
from rich.progress import Progress

from dialback.deploying import Installation
from dialback.terminal import PROGRESS_AFTER

DEPLOYED = {"event": "deployed", "deployed": ROLLED_BACK}


@pytest.fixture
def function(tmp_path: Path) -> Path:
    made = tmp_path / "hello"
    made.mkdir()
    (made / "app.py").write_text("app = 1")
    return made


def test_versions_are_listed_with_their_environment_and_the_active_one(run: Run, reachable: FakePlatform) -> None:
    lines = run("ls", "--deployments").stdout.splitlines()
    assert lines[0].split() == ["function", "deployment", "deployed", "code", "environment", "installed", "state"]
    assert lines[1].split()[:2] == ["chat", "d_new"]
    assert "2.0 KiB   Python 3.12.4, 2 packages     3.0 MiB   active" in lines[1]
    assert lines[2].split()[-3:] == ["gone", "-", "running"]
    assert lines[3].split()[-3:] == ["-", "-", "-"]
    assert (
        json.loads(run("ls", "--deployments", "--json").stdout)["deployments"][0]["environment"]["python"] == "3.12.4"
    )
    assert reachable.asked[0] == "GET /v1/deployments"


def test_one_functions_versions_and_one_function_can_be_listed(run: Run, reachable: FakePlatform) -> None:
    assert "d_old" in run("ls", "chat", "--deployments").stdout
    assert reachable.asked == ["GET /v1/functions/chat/deployments"]
    assert json.loads(run("ls", "chat", "--json").stdout) == {"functions": [FUNCTION]}
    assert run("ls", "nobody").exit_code == 1
    assert run("ls", "../x").exit_code == 2


def test_no_versions_at_all_say_what_to_do(run: Run, reachable: FakePlatform) -> None:
    reachable.deployments = []
    assert "dialback deploy DIR" in run("ls", "--deployments").stdout


def test_rollback_asks_for_the_version_before_or_for_the_one_that_is_named(run: Run, reachable: FakePlatform) -> None:
    result = run("rollback", "chat")
    assert result.exit_code == 0
    assert "chat is live  asgi · app:app · d_old · Python 3.12.4, 1 package\n" in result.stdout
    assert json.loads(run("rollback", "chat", "d_old", "--json").stdout)["deployment"] == "d_old"
    assert reachable.rollbacks == [("chat", None), ("chat", "d_old")]
    assert run("rollback", "../x").exit_code == 2


def test_a_rollback_that_is_refused_says_why(run: Run, reachable: FakePlatform) -> None:
    reachable.answer = lambda request: fault(409, "nothing_earlier", "chat has no deployment before d_1")
    result = run("rollback", "chat")
    assert (result.exit_code, result.stderr) == (1, "error: chat has no deployment before d_1\n")


def test_a_watched_deploy_ends_with_what_it_came_to(run: Run, reachable: FakePlatform, function: Path) -> None:
    reachable.deploy_events = [{"event": "progress", "text": "Resolved"}, {"event": "waiting"}, DEPLOYED]
    assert "chat is live" in run("deploy", str(function)).stdout
    assert "chat is live" in run("rollback", "chat").stdout


def test_a_failed_installation_is_shown_with_the_resolvers_words(
    run: Run, reachable: FakePlatform, function: Path
) -> None:
    error = {"code": "build_failed", "message": "No solution found\n  cause: a and b", "file": "requirements.txt"}
    reachable.deploy_events = [{"event": "progress", "text": "x"}, {"event": "failed", "status": 400, "error": error}]
    result = run("deploy", str(function))
    assert result.exit_code == 1
    assert "error: No solution found\n  cause: a and b\n  --> requirements.txt" in result.stderr


def test_a_platform_that_stops_in_the_middle_is_said(run: Run, reachable: FakePlatform, function: Path) -> None:
    reachable.deploy_events = [{"event": "progress", "text": "Resolved"}]
    result = run("deploy", str(function))
    assert result.exit_code == 3
    assert "ended the answer in the middle" in result.stderr


def shown(terminal: bool) -> tuple[Progress, io.StringIO]:
    out = io.StringIO()
    return Progress(console=Console(file=out, force_terminal=terminal, width=200), transient=True), out


def test_a_pipe_gets_every_line_once_it_takes_more_than_a_moment() -> None:
    now = 100.0
    progress, out = shown(terminal=False)
    told = Installation(progress, progress.add_task("x"), "chat", clock=lambda: now)
    told("Resolved 3 packages")
    told(None)
    assert out.getvalue() == ""
    now += PROGRESS_AFTER
    told("Installed \x1b[31m3 packages")
    assert out.getvalue() == "chat: Resolved 3 packages\nchat: Installed \\x1b[31m3 packages\n"
    now += 5
    told(None)
    assert out.getvalue().count("\n") == 2
    now += 5
    told(None)
    told(None)
    assert out.getvalue().splitlines()[2:] == ["chat: still installing, 11 s"]


def test_a_terminal_gets_the_last_line_beside_its_spinner() -> None:
    progress, out = shown(terminal=True)
    task = progress.add_task("uploading chat")
    told = Installation(progress, task, "chat")
    told(" + rich==14.0")
    told(None)
    assert progress.tasks[0].description == "chat: + rich==14.0"
    assert len(progress.columns) == 2
    assert out.getvalue() == ""
