"""What a worker prints: attributed where that can be told, bounded, and unable to forge a line."""

from __future__ import annotations

import json

import pytest
from tests.invoker.workers.conftest import Platform, within

from dialback_invoker.launchers.base import LogLine
from dialback_invoker.launchers.output import BYTES_A_SECOND, LINES_A_SECOND, MAX_LINE, Lines, Output, clean


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines() -> list[LogLine]:
    return []


@pytest.fixture
def output(lines: list[LogLine], clock: Clock) -> Output:
    return Output("hello", "w_1", lines.append, clock)


def record(**value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


def test_lines_are_cut_at_the_limit_whatever_the_pieces() -> None:
    data = b"short\n" + b"x" * 25 + b"\nnext\n\nrest"
    for size in range(1, len(data) + 1):
        cutter = Lines(10)
        found = [line for at in range(0, len(data), size) for line in cutter.feed(data[at : at + size])]
        assert [*found, *cutter.flush()] == [b"short", b"x" * 10, b"next", b"", b"rest"]
        assert cutter.flush() == []


def test_a_line_without_end_takes_no_memory() -> None:
    cutter = Lines(10)
    found = [line for _ in range(1000) for line in cutter.feed(b"x" * 1000)]
    assert found == [b"x" * 10]
    assert cutter.feed(b"tail\nnew\n") == [b"new"]


def test_plain_output_belongs_to_no_invocation(output: Output, lines: list[LogLine]) -> None:
    output.feed("stdout", b"one\r\ntw")
    output.feed("stderr", b"bad\n")
    output.finish("stdout")
    assert lines == [
        LogLine("hello", "w_1", "", "stdout", "INFO", "one"),
        LogLine("hello", "w_1", "", "stderr", "ERROR", "bad"),
        LogLine("hello", "w_1", "", "stdout", "INFO", "tw"),
    ]
    assert output.tail() == "bad"


def test_records_are_attributed(output: Output, lines: list[LogLine]) -> None:
    output.feed("log", record(id="abc", stream="stderr", level="WARNING", line="careful"))
    output.feed("log", record(id="abc", stream="log", level="DEBUG", line="x" * 20_000))
    assert lines[0] == LogLine("hello", "w_1", "abc", "stderr", "WARNING", "careful")
    assert lines[1].line == "x" * MAX_LINE
    assert output.tail() == "careful"


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"not json\n", "not json"),
        (b"[1]\n", "[1]"),
        (b'{"line": 5}\n', '{"line": 5}'),
        (b"[" * 60_000 + b"\n", "[" * MAX_LINE),
        (b"\xff\n", "\ufffd"),
    ],
)
def test_garbage_on_the_log_descriptor_is_a_plain_line(
    output: Output, lines: list[LogLine], raw: bytes, line: str
) -> None:
    output.feed("log", raw)
    assert lines == [LogLine("hello", "w_1", "", "log", "INFO", line)]


def test_names_that_are_none_are_left_out(output: Output, lines: list[LogLine]) -> None:
    output.feed("log", record(id="a b", stream="platform", level="x\n", line="hi"))
    output.feed("log", record(id=None, line="\ud800"))
    assert lines == [LogLine("hello", "w_1", "", "log", "INFO", "hi"), LogLine("hello", "w_1", "", "log", "INFO", "?")]


def test_control_characters_cannot_forge_or_paint() -> None:
    assert clean("plain ä 漢\ttab") == "plain ä 漢\ttab"
    assert clean('a\n{"level"}\x1b[31m\x7f\x9b\u2028\u202e') == 'a\\x0a{"level"}\\x1b[31m\\x7f\\x9b\\u2028\\u202e'


def test_a_flood_is_cut_and_counted(output: Output, lines: list[LogLine], clock: Clock) -> None:
    for _ in range(10):
        output.feed("stdout", b"x\n" * LINES_A_SECOND)
    assert len(lines) == 2 * LINES_A_SECOND
    clock.now = 1.0
    output.feed("stdout", b"again\n")
    assert lines[-2].stream == "platform"
    assert lines[-2].line.startswith(f"{8 * LINES_A_SECOND} lines were dropped")
    assert lines[-1].line == "again"


def test_a_flood_of_bytes_is_cut_too(output: Output, lines: list[LogLine]) -> None:
    output.feed("stdout", (b"x" * MAX_LINE + b"\n") * 1000)
    output.finish("stdout")
    assert len(lines) == 2 * BYTES_A_SECOND // MAX_LINE + 1
    assert "lines were dropped" in lines[-1].line


async def test_a_worker_can_name_only_its_own_invocations(platform: Platform) -> None:
    pool = platform.pool()
    lease = await within(pool.lease(lambda _: None))
    name = platform.hand(
        lease, do="say", out="printed\n", lines=['{"id":"of-another","stream":"log","level":"INFO","line":"forged"}']
    )
    await within(lease.result)
    lease.release()
    own = json.dumps({"id": name, "stream": "stdout", "level": "INFO", "line": "mine"})
    await platform.call(pool, do="say", lines=[own])
    await platform.until(lambda: {line.line for line in platform.lines} >= {"printed", "forged", "mine"})
    assert {line.line: line.invocation for line in platform.lines} == {"printed": "", "forged": "", "mine": name}


async def test_a_flood_blocks_nobody(platform: Platform) -> None:
    pool = platform.pool()
    await platform.call(pool, do="say", out="x" * 99 + "\n", times=300_000)  # 30 MB
    assert await platform.call(pool, do="echo", n=1) == {"do": "echo", "n": 1}
    assert len(platform.lines) < 50_000
