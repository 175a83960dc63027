"""The log of requests, told by three, in whatever order they tell."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from dialback.dev import request_log
from dialback.dev.request_log import RequestLog
from dialback.dev.state import State
from dialback_edge.access_log import AccessRecord
from dialback_invoker.launchers.base import LogLine
from dialback_wire.messages import Request


def asked(id: str, path: bytes = b"/x?secret=1") -> Request:
    return Request(id, b"GET", path, b"h", (), b"http", b"1.1", b"1.2.3.4:5", 0)


def record(id: str, **more: Any) -> AccessRecord:
    told: dict[str, Any] = {
        "at": 0.0, "id": id, "client": "c", "method": "GET", "host": "h", "path": "/x", "status": 200, "code": "--",
        "bytes_in": 0, "bytes_out": 2048, "head_after": 0.004, "duration": 0.25,
    }  # fmt: skip
    return AccessRecord(**told | more)


def summary(id: str, **more: Any) -> dict[str, object]:
    return {"id": id, "mode": "callback", "chunks": 12, "cold": False, "verdict": "ok", "deployment": "d"} | more


def printed(id: str, text: str, stream: str = "stdout", level: str = "INFO") -> LogLine:
    return LogLine("fn", "w", id, stream, level, text)


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
async def log(shown: Any, state: State, tmp_path: Path) -> RequestLog:
    return RequestLog(shown, state, tmp_path, "fn")


async def until(true: Any) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.005)


async def test_a_line_has_time_status_first_byte_total_size_and_chunks(log: RequestLog, shown: Any) -> None:
    log.opened(asked("a"))
    log.served(record("a"))
    assert shown.lines == [], "the invoker has not told yet"
    log.ended(summary("a"))
    line = shown.lines[0]
    assert line.split()[1:4] == ["200", "GET", "/x"]
    assert line.endswith("first byte 4.0 ms · total 250 ms · 2.0 KiB · streamed 12 chunks")
    assert "secret" not in line


async def test_figures_stand_below_each_other_whatever_the_method(log: RequestLog, shown: Any) -> None:
    for id, method in (("a", "GET"), ("b", "OPTIONS")):
        log.opened(asked(id))
        log.ended(summary(id))
        log.served(record(id, method=method))
    assert len({line.index("first byte") for line in shown.lines}) == 1


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"mode": "buffered"}, "buffered"),
        ({"chunks": 1}, "2.0 KiB"),
        ({"chunks": 1, "cold": True}, "cold"),
        ({"cold": True}, "streamed 12 chunks, cold"),
        ({"mode": ""}, "2.0 KiB"),
    ],
)
async def test_the_way_of_the_answer(log: RequestLog, shown: Any, told: dict[str, object], words: str) -> None:
    log.opened(asked("a"))
    log.ended(summary("a", **told))
    log.served(record("a"))
    assert shown.lines[0].endswith(words)


async def test_an_answer_that_was_cut_is_explained(log: RequestLog, shown: Any) -> None:
    log.ended(summary("nobody asked"))
    log.opened(asked("a"))
    log.ended(summary("a"))
    log.served(record("a", code="CD", detail="the client has gone"))
    assert "cut short, the client left: the client has gone" in shown.lines[0]
    log.served(record("b", status=0, code="IR", path="/" + "p" * 200))
    await until(lambda: len(shown.lines) == 2)
    assert "--- GET" in shown.lines[1]
    assert "…" in shown.lines[1]


async def test_output_of_a_quick_request_stands_beneath_its_line(log: RequestLog, shown: Any) -> None:
    log.opened(asked("a"))
    log.line(printed("a", "one"))
    log.line(printed("a", "two", "log", "WARNING"))
    log.ended(summary("a"))
    log.served(record("a"))
    log.line(printed("a", "late"))
    assert [line.strip() for line in shown.lines[1:]] == ["│ one", "│ WARNING two", "│ late"]
    assert shown.events[1] == {"event": "log", "id": "a", "stream": "stdout", "level": "INFO", "line": "one"}


async def test_a_request_that_goes_on_is_announced_with_its_output(log: RequestLog, shown: Any) -> None:
    log.opened(asked("a"))
    log.opened(asked("b", b"/y"))
    log.line(printed("a", "first"))
    await until(lambda: shown.lines)
    log.line(printed("a", "second"))
    assert [line.strip() for line in shown.lines[1:]] == ["│ first", "│ second"]
    assert shown.lines[0].endswith("→   GET /x")
    log.ended(summary("b"))
    log.served(record("b", path="/y"))
    log.line(printed("a", "third"))
    assert shown.lines[-2].endswith("→   GET /x"), "said again, for another request stands between"
    log.ended(summary("a"))
    log.served(record("a"))
    assert shown.lines[-1].endswith("streamed 12 chunks")


async def test_output_that_belongs_to_no_request_is_shown_at_once(log: RequestLog, shown: Any) -> None:
    log.line(printed("", "loading"))
    log.line(printed("", "hm", "log", "ERROR"))
    assert [line.strip() for line in shown.lines] == ["│ loading", "│ ERROR hm"]


async def test_a_traceback_becomes_a_problem_with_its_place(
    log: RequestLog, shown: Any, state: State, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text("def f():\n    1 / 0\n")
    log.opened(asked("a"))
    for line in (
        "Traceback (most recent call last):",
        '  File "/run/workers/w_00/code/app.py", line 2, in f',
        "    1 / 0",
        "    ~~^~~",
        "ZeroDivisionError: division by zero",
    ):
        log.line(printed("a", line, "log", "ERROR"))
    await state.await_raised("a", 5)
    assert state.raised["a"].title == "ZeroDivisionError: division by zero"
    log.ended(summary("a"))
    log.served(record("a", status=500, code="SH", detail="ZeroDivisionError: division by zero"))
    text = "\n".join(shown.lines)
    assert "✗ ZeroDivisionError" in text
    assert "--> fn/app.py:2 in f" in text
    assert "^^^^^" in text
    assert shown.events[-1]["event"] == "exception"


async def test_a_traceback_that_is_still_coming_is_shown_with_the_end(log: RequestLog, shown: Any) -> None:
    log.opened(asked("a"))
    log.ended(summary("a"))
    log.line(printed("a", "Traceback (most recent call last):", "log", "ERROR"))
    log.line(printed("a", "ValueError: x", "log", "ERROR"))
    log.served(record("a", status=500, code="SH"))
    assert any("✗ ValueError: x" in line for line in shown.lines)


async def test_what_dev_itself_is_asked_is_not_logged_and_old_requests_are_forgotten(
    log: RequestLog, shown: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_log, "REMEMBERED", 3)
    log.served(record("own", path="/_dialback/dev/events"))
    assert shown.lines == []
    for id in "abcdef":
        log.opened(asked(id))
        log.ended(summary(id))
        log.served(record(id))
    assert len(log._requests) <= 3


async def test_waiting_for_what_was_raised_ends(state: State) -> None:
    await state.await_raised("nobody", 0.01)
    heard: list[int] = []
    stop = state.listen(lambda: heard.append(1))
    state.change("d", None)
    stop()
    state.change("e", None)
    assert heard == [1]
