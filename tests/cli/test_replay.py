"""`replay`: a recorded request made again, with both timings side by side."""

import json
from typing import Any

import pytest

from .conftest import Run
from .fake_platform import ID, TRACE, FakePlatform

AGAIN = "zzzzzzzzzzzzzzzzzzzzzzzzzz"
MEASURES: dict[str, Any] = {
    "status": {"before": 200, "after": 500},
    "verdict": {"before": "ok", "after": "ok"},
    "first_byte_ms": {"before": 181.0, "after": 20.5, "difference": -160.5},
    "total_ms": {"before": 1200.4, "after": None},
    "bytes_out": {"before": 2048, "after": 2048},
    "chunks": {"before": 40, "after": 40},
}


def told(ok: bool = True, body: str = "same") -> list[tuple[str, dict[str, Any]]]:
    plan = {"original": TRACE, "deployment": "d_old", "active": False, "mode": "buffered", "left_out": ["cookie"]}
    return [
        ("plan", plan),
        ("frame", {"t_ms": 1.0}),
        ("chunk", {"t_ms": 2.0, "size": 3, "text": "abc"}),
        ("end", {"t_ms": 3.0, "ok": ok, "error": None if ok else "the response was cut short", "id": AGAIN}),
        ("trace", TRACE | {"id": AGAIN, "request": {"body": "secret"}}),
        ("comparison", {"measures": MEASURES, "body": body}),
    ]


def test_a_replay_shows_then_now_and_the_difference(run: Run, reachable: FakePlatform) -> None:
    reachable.replay = told()
    result = run("replay", ID, "--deployment", "d_old", "--mode", "buffered", "-H", "X-One: 1")
    assert result.exit_code == 0, result.stderr
    assert reachable.replays == [(ID, {"deployment": "d_old", "mode": "buffered", "headers": {"X-One": "1"}})]
    lines = {line.split("  ")[1].strip(): line.split() for line in result.stdout.splitlines() if line.strip()}
    assert lines["first byte"][2:] == ["181", "ms", "20.5", "ms", "-160", "ms"]
    assert lines["status"][1:] == ["200", "500", "different"]
    assert lines["size"][1:] == ["2.0", "KiB", "2.0", "KiB"]
    assert lines["total"][1:] == ["1.20", "s", "-", "different"]
    assert "sent without cookie" in result.stdout
    assert "the bodies are the same" in result.stdout
    assert f"dialback trace {AGAIN}" in result.stdout
    assert "deployment d_old, buffered" in result.stdout


def test_without_an_id_it_is_the_last_one_and_everything_as_it_was(run: Run, reachable: FakePlatform) -> None:
    reachable.replay = told(body="different")
    assert "the bodies differ" in run("replay").stdout
    assert reachable.replays == [("last", {"deployment": None, "mode": None, "headers": {}})]


def test_a_replay_speaks_json(run: Run, reachable: FakePlatform) -> None:
    reachable.replay = told()
    said = json.loads(run("replay", ID, "--json").stdout)
    assert said["comparison"]["measures"]["first_byte_ms"]["difference"] == -160.5
    assert said["plan"]["left_out"] == ["cookie"]
    assert said["replay"]["id"] == AGAIN
    assert "secret" not in json.dumps(said)


def test_an_answer_that_does_not_end_well_is_a_failure_after_the_table(run: Run, reachable: FakePlatform) -> None:
    reachable.replay = told(ok=False)
    result = run("replay", ID)
    assert result.exit_code == 1
    assert "first byte" in result.stdout
    assert "the response was cut short" in result.stderr
    reachable.replay = told()[:1]
    assert "stopped reporting" in run("replay", ID).stderr


def test_what_cannot_be_replayed_is_said(run: Run, reachable: FakePlatform) -> None:
    result = run("replay", ID)
    assert (result.exit_code, result.stderr) == (1, "error: the body of this request was not kept\n")


@pytest.mark.parametrize("arguments", [["../x"], [ID, "--mode", "2030"], [ID, "-H", "nonsense"]])
def test_what_is_wrong_reaches_nobody(run: Run, reachable: FakePlatform, arguments: list[str]) -> None:
    assert run("replay", *arguments).exit_code == 2
    assert reachable.replays == []
