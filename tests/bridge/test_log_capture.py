"""Whose line is it?"""

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from dialback_bridge import log_capture, log_records
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
    monkeypatch.setattr(logging, "basicConfig", logging.basicConfig)
    monkeypatch.setattr(logging.root, "handlers", list(logging.root.handlers))
    level = logging.root.level
    yield pipe
    logging.root.setLevel(level)
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
    barrier = threading.Barrier(3, timeout=30)

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
    of = {call.id for call in calls}  # what else this process says is nobody's
    levels = {(record["stream"], record["level"]) for record in captured.records() if record["id"] in of}
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


async def test_a_traceback_starts_at_the_functions_own_code_also_in_a_thread(
    bench: Platform, captured: Captured
) -> None:
    def handler(event, context):
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error

    await bench.serve(handler, Kind.LAMBDA, log=log_capture.LogSink(captured.writing))
    call = bench.invoke()
    await call.outcome()
    lines = captured.lines(call.id)
    assert not any("dialback_bridge" in line or "concurrent" in line for line in lines)
    outer = lines.index("The above exception was the direct cause of the following exception:")
    assert lines[outer + 1] == "Traceback (most recent call last):"
    assert lines[outer + 2].endswith("in handler")
    assert lines[-1] == "ValueError: outer"
    assert all(line.strip() for line in lines)


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
    handler = log_records.Unclaimed(sink, log_capture.current)
    logging.getLogger("x").propagate = False
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


def logged(program: str, **environment: str) -> list[tuple[str, str, str]]:
    """Stream, level and line of what a fresh process logs; pytest has handlers at the root of its own."""
    begin = "import logging, sys\nfrom dialback_bridge import log_capture\nlog_capture.install(int(sys.argv[1]))\n"
    reading, writing = os.pipe()
    with os.fdopen(reading) as reader:
        command = [sys.executable, "-c", begin + program, str(writing)]
        subprocess.run(command, pass_fds=[writing], timeout=120, check=True, env={**os.environ, **environment})
        os.close(writing)
        records = [json.loads(line) for line in reader]
    return [(record["stream"], record["level"], record["line"]) for record in records]


def test_records_keep_their_level_however_they_are_logged() -> None:
    program = "logging.warning('module')\nlogging.getLogger('user').info('logger')\nlogging.debug('too low')\n"
    assert logged(program) == [("log", "WARNING", "module"), ("log", "INFO", "logger")]
    assert logged(program, LOG_LEVEL="warning") == [("log", "WARNING", "module")]
    assert logged(program, LOG_LEVEL="DEBUG")[-1] == ("log", "DEBUG", "too low")
    assert len(logged(program, LOG_LEVEL="nonsense")) == 2


@pytest.mark.parametrize("force", ["", ", force=True"])
def test_a_function_that_calls_basic_config_gets_what_it_asked_for(force: str) -> None:
    program = f"logging.basicConfig(format='mine: %(message)s', level='DEBUG'{force})\nlogging.debug('x')\n"
    assert logged(program) == [("stderr", "INFO", "mine: x")]
    plain = "logging.basicConfig(format='%(message)s')\nlogging.info('x')\nlogging.warning('y')\n"
    assert logged(plain) == [("stderr", "INFO", "y")]
    assert logged(plain, LOG_LEVEL="INFO") == [("stderr", "INFO", "x"), ("stderr", "INFO", "y")]


def test_a_handler_of_the_functions_own_takes_its_records_alone() -> None:
    program = (
        "import logging.config\n"
        "logging.config.dictConfig({'version': 1, 'disable_existing_loggers': False,"
        " 'handlers': {'h': {'class': 'logging.StreamHandler'}}, 'loggers': {'mine': {'handlers': ['h']}}})\n"
        "logging.getLogger('mine.part').warning('a')\nlogging.getLogger('other').warning('b')\n"
        "logging.root.addHandler(logging.StreamHandler())\nlogging.getLogger('other').warning('c')\n"
    )
    assert logged(program) == [("stderr", "INFO", "a"), ("log", "WARNING", "b"), ("stderr", "INFO", "c")]
