"""The access log never delays a request, and never comes before the ready line."""

from __future__ import annotations

import io
import json
import os
import threading

import pytest

from dialback.access_view import HumanLine, InvocationLine
from dialback.line_log import LineLog
from dialback.log_format import edge_lines, invoker_lines
from dialback_edge.access_log import AccessRecord


def record(path: str = "/x", status: int = 200, code: str = "--", detail: str = "") -> AccessRecord:
    return AccessRecord(1.0, "id", "1.2.3.4:5", "GET", "h", path, status, code, 1, 2048, 0.0041, 1.2, detail)


def test_lines_are_held_until_the_log_is_opened_and_written_at_the_close() -> None:
    stream = io.StringIO()
    log: LineLog[str] = LineLog(stream)
    log("held")
    assert stream.getvalue() == ""
    log.open(str.upper)
    log("later")
    log.close()
    assert stream.getvalue() == "HELD\nLATER\n"


def test_a_log_that_was_never_opened_closes_in_silence() -> None:
    stream = io.StringIO()
    log: LineLog[str] = LineLog(stream)
    log("lost")
    log.close()
    assert stream.getvalue() == ""


def test_a_blocked_pipe_drops_lines_and_says_how_many() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, os.fdopen(reading, "rb", buffering=0) as reader:
        log: LineLog[str] = LineLog(stream, limit=2)
        log.open(lambda line: line)
        log("x" * 200_000)
        assert reader.read(1) == b"x"  # the writer is inside its write, which does not end before somebody reads
        for number in range(5):
            log(str(number))
        assert log.dropped == 3
        log.close(timeout=0.01)
        received = b""
        while b"dropped" not in received:
            received += reader.read(1 << 16) or b""
        log.close()
    lines = received.decode().split()
    assert lines[-4:-2] == ["0", "1"]
    assert json.loads("".join(lines[-2:])) == {"access_log_dropped": 3}


def test_a_full_disk_is_counted() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    log: LineLog[str] = LineLog(Full())
    log.open(str)
    log("x")
    log.close()
    assert log.dropped >= 1


def test_many_threads_may_log() -> None:
    stream = io.StringIO()
    log: LineLog[int] = LineLog(stream)
    log.open(str)
    threads = [threading.Thread(target=lambda: [log(n) for n in range(100)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert len(stream.getvalue().splitlines()) == 400


PLAIN = HumanLine(colour=False)


def test_a_person_reads_one_line_for_each_request() -> None:
    assert PLAIN(record("/@hello/")) == (
        "00:00:01  200 GET /@hello/                    first byte 4.1 ms · total 1.20 s · 2.0 KiB"
    )


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (404, "LR", "no such function"),
        (200, "FD", "cut short, the function failed"),
        (200, "SD", "cut short, the worker failed"),
        (500, "FH", "the function failed"),
        (502, "SH", "the worker failed"),
        (502, "FL", "the function failed while its worker started"),
        (502, "SL", "the worker failed to start"),
        (504, "sW", "the function took too long before its worker dialled back"),
        (504, "sH", "the function took too long"),
        (503, "RQ", "no room"),
        (0, "CR", "the client left while its request was read"),
        (200, "CD", "cut short, the client left"),
        (400, "PR", "not allowed"),
        (200, "KD", "cut short, the platform was stopped"),
        (200, "Z?", "Z?"),
    ],
)
def test_what_did_not_end_well_is_said_in_words(status: int, code: str, words: str) -> None:
    line = PLAIN(record(status=status, code=code, detail="because\x1b[31m"))
    assert line.endswith(f"  {words}: because\\x1b[31m")
    assert PLAIN(record(status=status, code=code)).endswith(f"  {words}")
    assert f"  {status or '---'} GET /x" in line


def test_colours_and_long_paths() -> None:
    line = HumanLine(colour=True)(record("/" + "a" * 500, 500, "FH"))
    assert "\x1b[31m500\x1b[0m" in line
    assert "\x1b[31mthe function failed\x1b[0m" in line
    assert "a" * 118 + "…" in line
    assert "a" * 120 not in line
    assert "\x1b[33m404" in HumanLine(colour=True)(record(status=404, code="LR"))


def test_an_answer_that_never_came_has_no_first_byte() -> None:
    without = record(status=0, code="CH")
    without.head_after = None
    assert "first byte" not in PLAIN(without)
    assert "total 1.20 s" in PLAIN(without)


SUMMARY = {
    "id": "id",
    "mode": "callback",
    "method": "GET",
    "path": "/@f/",
    "received_at": 1.0,
    "cold": True,
    "status": 500,
    "code": "FH",
    "detail": "because",
    "first_byte_ms": None,
    "total_ms": 12.0,
    "bytes_in": 0,
    "bytes_out": 34,
}


def test_an_invoker_on_its_own_tells_a_person_mode_and_cold_starts() -> None:
    line = InvocationLine(colour=False)(SUMMARY)
    assert line.startswith("00:00:01  500 GET /@f/ ")
    assert line.endswith("  total 12.0 ms · 34 B · callback · cold  the function failed: because")
    warm = InvocationLine(colour=False)({**SUMMARY, "cold": False, "first_byte_ms": 4.0, "code": "--"})
    assert warm.endswith("  first byte 4.0 ms · total 12.0 ms · 34 B · callback")


@pytest.mark.parametrize(
    ("wanted", "person", "pretty"),
    [("auto", True, True), ("auto", False, False), ("json", True, False), ("pretty", False, True)],
)
def test_the_format_is_what_was_asked_for_or_fits_who_reads(wanted: str, person: bool, pretty: bool) -> None:
    edge, invoker = edge_lines(wanted)(person)(record()), invoker_lines(wanted)(person)(SUMMARY)
    assert (" 200 GET /x" in edge, " 500 GET /@f/" in invoker) == (pretty, pretty)
    if not pretty:
        assert (json.loads(edge)["code"], json.loads(invoker)["code"]) == ("--", "FH")
