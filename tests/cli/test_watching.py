from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Run
from fake_platform import ID, SECRET, TRACE, FakePlatform, fault

from dialback.control_models import Bin, Trace
from dialback.function_view import STATES
from dialback.gap_view import block_bar, gaps_of, histogram_lines
from dialback.terminal import age, milliseconds, safe, size
from dialback_invoker.worker_state import State


def row(stdout: str, label: str) -> str:
    return next(line for line in stdout.splitlines() if line.strip().startswith(label))


def test_a_trace_is_a_waterfall(run: Run, reachable: FakePlatform) -> None:
    stdout = run("trace").stdout
    assert all(len(line) <= 100 for line in stdout.splitlines())
    assert "GET /@chat/tokens?n=40  200" in stdout
    assert "chat · callback · cold worker w_1 · 2023-11-14 22:13:20" in stdout
    assert row(stdout, "boot").split()[1:5] == ["130", "ms", "88.0", "ms"]
    assert row(stdout, "head").split()[1:5] == ["180", "ms", "39.9", "ms"]
    for label in ("received", "queued", "worker start", "spawn", "payload handed", "dial-back", "token accepted"):
        assert "━" in row(stdout, label) or "╸" in row(stdout, label)
    body = row(stdout, "body")
    assert body.rstrip().endswith("━" * 30)
    assert body.index("━") > row(stdout, "boot").rindex("━")
    assert "╸" in row(stdout, "a_later_mark")


def test_a_trace_tells_how_evenly_it_flowed_and_how_it_ended(run: Run, reachable: FakePlatform) -> None:
    stdout = run("trace", "--last").stdout
    assert "gaps between chunks first 25.1 ms  24.9 ms  25.0 ms" in stdout
    assert "last  25.2 ms  25.3 ms  180 ms" in stdout
    assert row(stdout, "≤ 50.0 ms").endswith("█ 36")
    assert row(stdout, "> 100 ms").endswith(" 1")
    assert "≤ 1.0 ms" not in stdout
    assert "0 ms for the client · 240 ms (20%) for the function" in stdout
    assert "✓ ended well, by the function\n" in stdout
    assert "0 B in · 2.0 KiB out · 40 chunks" in stdout


def test_a_failure_names_who_caused_it_and_its_code(run: Run, reachable: FakePlatform) -> None:
    reachable.trace |= {"verdict": "truncated", "cause": "worker", "code": "SD", "detail": "killed by signal 9\x07"}
    stdout = run("trace", ID).stdout
    assert "✗ cut short, by the worker  SD" in stdout
    assert "killed by signal 9\\x07" in stdout


def test_an_unknown_function_is_said_in_words(run: Run, reachable: FakePlatform) -> None:
    reachable.trace |= {"status": 404, "verdict": "error", "cause": "routing", "code": "LR"}
    assert "✗ no such function  LR" in run("trace").stdout


def test_a_function_that_failed_is_not_blamed_twice(run: Run, reachable: FakePlatform) -> None:
    reachable.trace |= {"verdict": "error", "cause": "function", "code": "FH"}
    assert "✗ the function failed  FH" in run("trace").stdout
    reachable.trace |= {"verdict": "error", "cause": "worker", "code": "SH"}
    assert "✗ the worker failed  SH" in run("trace").stdout


def test_verdicts_and_causes_of_later_versions_are_shown_as_they_are(run: Run, reachable: FakePlatform) -> None:
    reachable.trace |= {"verdict": "evaporated", "cause": "weather", "status": 599}
    assert "? evaporated, by weather" in run("trace").stdout


def test_a_trace_that_still_runs_is_drawn_as_far_as_it_is(run: Run, reachable: FakePlatform) -> None:
    marks = [mark for mark in TRACE["marks"] if mark["t"] <= 181 and mark["name"] != "a_later_mark"]
    reachable.trace = {"id": ID, "marks": marks, "verdict": None, "method": "GET", "path": "/"}
    stdout = run("trace").stdout
    assert "… still running" in stdout
    assert "- in · - out" in stdout
    assert "body" not in stdout


def test_a_buffered_trace_has_no_dial_back(run: Run, reachable: FakePlatform) -> None:
    dialed = ("dialed_back", "token_accepted", "worker_start", "worker_spawned", "worker_ready")
    reachable.trace["marks"] = [mark for mark in TRACE["marks"] if mark["name"] not in dialed]
    stdout = run("trace").stdout
    assert "dial-back" not in stdout
    assert row(stdout, "head").split()[3:5] == ["49.0", "ms"]


@pytest.mark.parametrize("columns", ["40", "60", "200"])
def test_a_waterfall_fits_into_its_terminal(
    run: Run, reachable: FakePlatform, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = run("trace").stdout.splitlines()
    assert all(len(line) <= max(60, int(columns)) for line in lines)
    assert any(line.strip().startswith("body") for line in lines)


def test_frames_are_listed_and_tokens_are_not(run: Run, reachable: FakePlatform) -> None:
    stdout = run("trace", "--frames").stdout
    assert "4 frames" in stdout
    assert "3 more were not kept" in stdout
    assert row(stdout, "180 ms").split() == ["180", "ms", "socket", "▲", "HEAD", "1", "64", "B"]
    assert f"db1_r1_{ID}_[redacted]" in stdout
    for arguments in (("--frames",), ("--frames", "--json"), ("--json",), ()):
        assert SECRET not in run("trace", *arguments).stdout


def test_a_trace_speaks_json(run: Run, reachable: FakePlatform) -> None:
    said = json.loads(run("trace", "--json").stdout)
    assert said["marks"][0] == {"name": "received", "t": 0}
    assert "frames" not in said
    assert len(json.loads(run("trace", "--json", "--frames").stdout)["frames"]) == 4


def test_an_invocation_that_is_not_there_is_said(run: Run, reachable: FakePlatform) -> None:
    result = run("trace", "z" * 26)
    assert (result.exit_code, result.stderr) == (1, "error: there is no such invocation\n")


@pytest.mark.parametrize("arguments", [["../x"], [ID, "--last"], [""]])
def test_what_is_no_id_reaches_nobody(run: Run, reachable: FakePlatform, arguments: list[str]) -> None:
    assert run("trace", *arguments).exit_code == 2
    assert reachable.asked == []


def test_compare_runs_the_same_request_in_each_mode_with_tickets(run: Run, reachable: FakePlatform) -> None:
    result = run("compare", "chat", "modes?n=1", "-H", "x-one: 1", "-d", "body")
    assert result.exit_code == 0
    assert reachable.tickets == {}
    assert [(method, target, body) for method, target, _, body in reachable.requests] == [
        ("POST", "/@chat/modes?n=1", b"body")
    ] * 3
    lines = result.stdout.splitlines()
    assert lines[1].split()[0] == "buffered"
    assert lines[1].rstrip().endswith("▌")
    assert lines[1].count("▌") == 1
    buffered = next(line for line in lines[4:] if "buffered" in line).split()
    callback = next(line for line in lines[4:] if "callback" in line).split()
    assert buffered[1] == callback[1] == "200"
    assert buffered[6] == "1"
    assert callback[6] == "5"
    assert "buffered started a worker first, 130 ms of its time" in result.stdout


def test_compare_speaks_json(run: Run, reachable: FakePlatform) -> None:
    said = json.loads(run("compare", "chat", "modes", "--json").stdout)
    assert [(made["mode"], made["chunks"], made["bytes"], made["id"]) for made in said["runs"]] == [
        ("buffered", 1, 40, ID),
        ("callback", 5, 40, ID),
        ("tunnel", 5, 40, ID),
    ]
    assert len(said["runs"][1]["gaps"]["first"]) == 4


def test_compare_keeps_the_runs_that_fail_in_its_table(run: Run, reachable: FakePlatform) -> None:
    reachable.answer = lambda request: fault(404, "gone", "gone") if "invocations" in request.path else None
    result = run("compare", "chat", "short")
    assert result.exit_code == 1
    assert "buffered: the answer was cut short after 10 bytes" in result.stdout
    assert "buffered, callback and tunnel did not answer well" in result.stderr
    assert "buffered: answered 502" in run("compare", "chat", "fail").stdout
    assert run("compare", "chat", "binary").exit_code == 0


def test_compare_sends_a_body_twice_so_it_cannot_be_a_pipe(run: Run, reachable: FakePlatform) -> None:
    result = run("compare", "chat", "-d", "@-")
    assert result.exit_code == 2
    assert "more than once" in result.stderr


def test_compare_can_send_a_file_each_time(run: Run, reachable: FakePlatform) -> None:
    Path("body").write_bytes(b"x" * 100_000)
    run("compare", "chat", "modes", "-d", "@body")
    assert [len(body) for *_, body in reachable.requests] == [100_000] * 3


def test_gaps_that_are_measured_here_look_like_those_of_a_trace() -> None:
    gaps = gaps_of([0, 1, 3, 6, 10, 15, 21, 6021])
    assert gaps.first == (1, 2, 3, 4, 5)
    assert gaps.last == (6, 6000)
    assert {bin.le_ms: bin.count for bin in gaps.histogram if bin.count} == {1: 1, 2: 1, 5: 3, 10: 1, None: 1}
    assert gaps_of([]).first == ()


def test_a_histogram_of_nothing_is_nothing() -> None:
    assert list(histogram_lines([Bin(le_ms=1, count=0)], 80)) == []
    assert next(histogram_lines([Bin(le_ms=None, count=2)], 80)).plain.endswith("> 0 ms " + "█" * 34 + " 2")


def test_bars_are_exact_to_an_eighth_and_never_invisible() -> None:
    assert block_bar(0.5, 3) == "█▌"
    assert block_bar(0.0001, 10) == "▏"
    assert block_bar(0, 10) == ""


def test_trace_models_keep_what_they_do_not_know() -> None:
    trace = Trace.model_validate({"id": "x", "later": 1})
    assert trace.model_dump()["later"] == 1
    assert trace.at("head") is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0, "0 ms"), (0.001, "<0.01 ms"), (0.5, "0.50 ms"), (12.34, "12.3 ms"), (340.4, "340 ms"), (999.7, "1.00 s")),
        *((59_990, "59.99 s"), (245_000, "4 m 05 s"), (7_260_000, "2 h 01 m")),
    ],
)
def test_durations_are_short(value: float, text: str) -> None:
    assert milliseconds(value) == text


def test_sizes_and_ages_are_short() -> None:
    assert [size(count) for count in (None, 5, 1536, 20 << 20, 3 << 30, 5 << 40)] == [
        *("-", "5 B", "1.5 KiB", "20.0 MiB", "3.0 GiB", "5.0 TiB")
    ]
    assert [age(0.0, now) for now in (5.0, 65, 7200, 200_000)] == ["5 s", "1 m", "2 h", "2 d"]
    assert age(None) == "-"


def test_control_characters_are_made_visible() -> None:
    assert safe("plain ünïcode") == "plain ünïcode"
    assert safe("\x1b[31m\u202e\U000e0001\t") == "\\x1b[31m\\u202e\\U000e0001\t"


def test_every_state_of_a_worker_has_its_word_and_colour() -> None:
    assert list(STATES) == [state.value for state in State]
