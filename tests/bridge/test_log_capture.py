"""Whose line is it?"""

import asyncio
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from dialback_bridge import log_capture
from dialback_bridge.entry import Kind
from dialback_wire.messages import Reason, Verdict

from .fakes import Platform, http_event


class Captured:
    """The reading end of a log descriptor."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        self._data = b""

    def records(self) -> list[dict[str, Any]]:
        try:
            while True:
                self._data += os.read(self.reading, 1 << 16)
        except BlockingIOError:
            pass
        return [json.loads(line) for line in self._data.splitlines()]

    def lines(self, invocation: str) -> list[str]:
        return [record["line"] for record in self.records() if record["id"] == invocation]


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Captured]:
    pipe = Captured()
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    monkeypatch.setattr(logging, "lastResort", logging.lastResort)
    yield pipe
    log_capture.LogSink(None).close_outside()
    os.close(pipe.reading)
    os.close(pipe.writing)


async def test_lines_belong_to_their_invocation_when_ten_print_at_once(bench: Platform, captured: Captured) -> None:
    sink = log_capture.install(captured.writing)
    barrier = asyncio.Barrier(10) if hasattr(asyncio, "Barrier") else None

    async def app(scope, receive, send):
        name = scope["path"]
        print(name, "begins")
        if barrier is not None:
            await barrier.wait()
        await asyncio.create_task(asyncio.to_thread(print, name, "thread"))
        print(name, "half a line ", end="")
        await asyncio.sleep(0)
        print("is one line", flush=True)
        print(name, "and this one has no end", end="", file=sys.stderr)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    await bench.serve(app, concurrency=10, log=sink)
    calls = [bench.invoke(http_event(path=f"/{number}")) for number in range(10)]
    for number, call in enumerate(calls):
        assert await call.verdict() == "ok"
        assert captured.lines(call.id) == [
            f"/{number} begins",
            f"/{number} thread",
            f"/{number} half a line is one line",
            f"/{number} and this one has no end",
        ]
    assert {record["stream"] for record in captured.records()} == {"stdout", "stderr"}


async def test_threads_of_synchronous_handlers_are_attributed(bench: Platform, captured: Captured) -> None:
    sink = log_capture.install(captured.writing)
    logger = logging.getLogger("user")
    logger.propagate = False  # pytest has handlers of its own at the root
    barrier = threading.Barrier(3, timeout=10)

    def handler(event, context):
        for step in range(3):
            barrier.wait()
            print(event["rawPath"], step)
            logger.warning("warned by %s", event["rawPath"])
            yield "x"

    await bench.serve(handler, Kind.LAMBDA, concurrency=3, log=sink)
    calls = [bench.invoke(http_event(path=f"/{number}")) for number in range(3)]
    for number, call in enumerate(calls):
        assert (await call.relay.ended()).verdict is Verdict.OK
        await call.outcome()
        assert captured.lines(call.id) == [f"/{number} 0", f"warned by /{number}"] + [
            line for step in (1, 2) for line in (f"/{number} {step}", f"warned by /{number}")
        ]
    levels = {(record["stream"], record["level"]) for record in captured.records()}
    assert levels == {("stdout", "INFO"), ("log", "WARNING")}


async def test_a_traceback_is_logged_with_its_invocation_and_shows_the_users_frames_only(
    bench: Platform, captured: Captured
) -> None:
    sink = log_capture.LogSink(captured.writing)

    async def app(scope, receive, send):
        error = ValueError("told in the log")
        raise error from error

    await bench.serve(app, log=sink)
    call = bench.invoke()
    await call.outcome()
    lines = captured.lines(call.id)
    assert lines[-1] == "ValueError: told in the log"
    assert not any("dialback_bridge" in line for line in lines)
    assert {(record["stream"], record["level"]) for record in captured.records()} == {("log", "ERROR")}
    assert call.token not in str(captured.records())


async def test_a_client_that_leaves_is_nothing_to_log(bench: Platform, captured: Captured) -> None:
    sink = log_capture.LogSink(captured.writing)

    def handler(event, context):
        try:
            while True:
                yield b"x" * 100
        finally:
            print("closed")

    await bench.serve(handler, Kind.LAMBDA, log=sink)
    call = bench.invoke()
    await call.relay.until(lambda: call.relay.parts)
    call.relay.stream.cancel(Reason.CLIENT_GONE)
    assert await call.verdict() == "cancelled"
    assert captured.records() == []


def test_what_is_printed_outside_an_invocation_has_no_id(captured: Captured) -> None:
    sink = log_capture.install(captured.writing)
    print("import time")
    sys.stdout.buffer.write(b"bytes \xff")
    print("unfinished", end="")
    assert [record["line"] for record in captured.records()] == ["import time"]
    sink.close_outside()
    assert [record["line"] for record in captured.records()] == ["import time", "bytes \\xffunfinished"]
    assert {record["id"] for record in captured.records()} == {""}


def test_a_line_that_is_too_long_is_sent_in_parts(captured: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_capture, "MAX_LINE", 10)
    log_capture.install(captured.writing)
    sys.stdout.write("x" * 8)
    assert captured.records() == []
    sys.stdout.write("x" * 20)
    assert [len(record["line"]) for record in captured.records()] == [10, 10]
    sys.stdout.write("\n" + "y" * 12 + "\n\n")
    assert [record["line"] for record in captured.records()[2:]] == ["x" * 8, "y" * 10, "yy", ""]


def test_a_forged_line_stays_one_record(captured: Captured) -> None:
    log_capture.install(captured.writing)
    print('{"id": "other", "line": "forged"}\x1b[31m')
    (record,) = captured.records()
    assert record["id"] == ""
    assert record["line"].startswith('{"id": "other"')


def test_the_captured_streams_look_like_streams(captured: Captured) -> None:
    log_capture.install(captured.writing)
    out, err = sys.stdout, sys.stderr
    assert (out.fileno(), err.fileno()) == (1, 2)
    assert (out.encoding, out.errors, out.name) == ("utf-8", "backslashreplace", "<stdout>")
    assert out.writable()
    assert out.buffer.writable()
    assert not out.isatty()
    with pytest.raises(TypeError):
        out.write(b"bytes")  # type: ignore[arg-type]


def test_log_records_go_where_the_user_configured_them(captured: Captured) -> None:
    log_capture.install(captured.writing)
    logger = logging.getLogger("configured")
    handler = logging.StreamHandler()
    logger.addHandler(handler)
    logger.propagate = False
    try:
        logger.warning("by the user's handler")
    finally:
        logger.removeHandler(handler)
    (record,) = captured.records()
    assert (record["stream"], record["line"]) == ("stderr", "by the user's handler")


def test_a_log_record_that_cannot_be_formatted_does_not_break_the_program(captured: Captured) -> None:
    sink = log_capture.install(captured.writing)
    handler = log_capture.LastResort(sink)
    handler.emit(logging.LogRecord("x", logging.ERROR, "f", 1, "%d", ("not a number",), None))
    assert "Logging error" in captured.records()[0]["line"]


def test_a_log_descriptor_that_nobody_reads_is_no_failure() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    log_capture.LogSink(writing).emit("x", "stdout", "INFO", ["line"])
    os.close(writing)


def test_without_a_log_descriptor_output_is_left_alone(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    before = sys.stdout
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    sink = log_capture.install(None)
    assert sys.stdout is before
    sink.emit("rid", "log", "ERROR", ["failed"])
    sink.emit("rid", "stdout", "INFO", ["dropped"])
    assert capsys.readouterr().err == "[ERROR] rid failed\n"
