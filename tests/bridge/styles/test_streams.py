"""`event_stream`, `json_lines` and `merge`."""

import asyncio
import inspect
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from dialback_bridge import Event, event_stream, json_lines, merge
from dialback_bridge.streams.events import HEARTBEAT, as_event
from dialback_bridge.testing import TestClient

BOUND = 30.0

DEADLINE = 2.0
"""Seconds of an invocation whose stream ends before: a tenth of them is left then, on a busy machine, too."""


async def collect(stream: Any) -> list[Any]:
    return [item async for item in stream]


async def into(seen: list[Any], stream: Any) -> None:
    async for item in stream:
        seen.append(item)


async def endless(closed: asyncio.Event | threading.Event, begun: list[Any] | None = None) -> AsyncIterator[int]:
    try:
        number = 0
        while True:
            if begun is not None:
                begun.append(number)
            yield number
            number += 1
            await asyncio.sleep(0)
    finally:
        closed.set()


# --- server-sent events -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "sent"),
    [
        ("hello", "data: hello\n\n"),
        ("two\nlines", "data: two\ndata: lines\n\n"),
        ("a\r\nb\rc", "data: a\ndata: b\ndata: c\n\n"),
        ("", "data: \n\n"),
        (" leading", "data:  leading\n\n"),
        (b"bytes", "data: bytes\n\n"),
        ({"a": "é"}, 'data: {"a": "é"}\n\n'),
        ({"id": 1, "name": "json"}, 'data: {"id": 1, "name": "json"}\n\n'),
        ({"event": "click"}, 'data: {"event": "click"}\n\n'),
        (
            {"data": {"x": 1}, "event": "tick", "id": 7, "retry": 500},
            'event: tick\nid: 7\nretry: 500\ndata: {"x": 1}\n\n',
        ),
        (("tick", "now"), "event: tick\ndata: now\n\n"),
        (("tick", [1]), "event: tick\ndata: [1]\n\n"),
        ([1, 2], "data: [1, 2]\n\n"),
        (3, "data: 3\n\n"),
        (Event("x", event="e", id="i"), "event: e\nid: i\ndata: x\n\n"),
        (Event(retry=100), "retry: 100\n\n"),
    ],
)
def test_an_item_becomes_an_event(item: Any, sent: str) -> None:
    assert as_event(item).encode().decode() == sent


@pytest.mark.parametrize(
    ("item", "error"),
    [
        (Event("x", event="a\nb"), ValueError),
        (Event("x", id="a\0b"), ValueError),
        ((1, 2, 3), TypeError),
        ((1, 2), TypeError),
        ({1, 2}, TypeError),
    ],
)
def test_what_would_break_the_framing_is_refused(item: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        as_event(item).encode()


async def test_a_stream_of_events_may_say_when_to_come_back() -> None:
    stream = event_stream(["a", None, "b"], retry=3000)
    assert b"".join(await collect(stream)) == b"retry: 3000\n\ndata: a\n\ndata: b\n\n"
    assert dict(stream.headers) == {
        "content-type": "text/event-stream",
        "cache-control": "no-cache, no-transform",
        "x-accel-buffering": "no",
    }


async def test_heartbeats_come_in_silence_and_between_events() -> None:
    go_on = asyncio.Event()

    async def source() -> AsyncIterator[str]:
        yield "many\nlines"
        await go_on.wait()
        yield "last"

    parts = []
    async for part in event_stream(source(), heartbeat=0.01):
        parts.append(part)
        if parts.count(HEARTBEAT) == 3:
            go_on.set()
    assert parts[:4] == [b"data: many\ndata: lines\n\n", HEARTBEAT, HEARTBEAT, HEARTBEAT]
    assert parts[-1] == b"data: last\n\n"
    assert all(part.endswith(b"\n\n") for part in parts)


async def test_a_failing_source_is_told_in_a_last_event_and_raised() -> None:
    async def source() -> AsyncIterator[str]:
        yield "one"
        raise ValueError("out of luck")

    parts: list[bytes] = []
    stream = event_stream(source())
    with pytest.raises(ValueError, match="out of luck"):
        await into(parts, stream)
    assert parts[0] == b"data: one\n\n"
    name, data = parts[1].decode().split("\n")[:2]
    assert name == "event: error"
    assert json.loads(data.removeprefix("data: ")) == {"type": "ValueError", "message": "out of luck"}


@pytest.mark.parametrize("source", ["text", b"bytes", {"a": 1}, 3])
def test_what_is_no_source_is_refused(source: Any) -> None:
    for make in (event_stream, json_lines, merge):
        with pytest.raises(TypeError, match="a stream's source is"):
            make(source)


def test_a_heartbeat_is_a_positive_number() -> None:
    with pytest.raises(ValueError, match="heartbeat"):
        event_stream([], heartbeat=0)


async def test_a_consumer_that_leaves_has_the_source_closed() -> None:
    closed = asyncio.Event()
    stream = event_stream(endless(closed))
    async for _ in stream:
        break
    await stream.aclose()
    assert closed.is_set()


async def test_a_time_out_that_spans_items_belongs_to_the_source() -> None:
    # What is entered in one task cannot be left in another; a source's items all come from one.
    tasks = set()

    async def source() -> AsyncIterator[int]:
        for number in range(3):
            tasks.add(asyncio.current_task())
            yield number
        tasks.add(asyncio.current_task())

    assert len(await collect(event_stream(source()))) == 3
    assert len(tasks) == 1


def test_a_synchronous_source_runs_in_one_thread_and_is_closed_there() -> None:
    threads = []

    def source() -> Iterator[int]:
        try:
            for number in range(1000):
                threads.append(threading.get_ident())
                yield number
        finally:
            threads.append(threading.get_ident())

    stream = event_stream(source())
    for part in stream:
        assert part == b"data: 0\n\n"
        break
    stream.close()
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


def test_a_stream_that_was_never_begun_leaves_nothing_behind() -> None:
    async def one() -> int:
        return 1

    coroutine = one()
    stream = event_stream(merge(coroutine, iter([1])))
    stream.close()
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def test_a_stream_ends_cleanly_shortly_before_the_deadline() -> None:
    closed = threading.Event()

    async def silent() -> AsyncIterator[str]:
        try:
            yield "here"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def fetch(request: Any) -> Any:
        return event_stream(silent())

    with TestClient(fetch, deadline=DEADLINE) as client:
        begun = time.monotonic()
        response = client.get("/")
        assert (response.body, response.verdict) == (b"data: here\n\n", "ok")
        assert time.monotonic() - begun < DEADLINE
        assert closed.is_set()


def test_a_busy_stream_ends_before_the_deadline_too() -> None:
    closed = threading.Event()
    with TestClient(lambda request: event_stream(endless(closed)), deadline=DEADLINE) as client:
        assert client.get("/").verdict == "ok"
    assert closed.is_set()


def fetch_style(source: Any) -> Any:
    async def fetch(request: Any) -> Any:
        return event_stream(source(), heartbeat=0.05)

    return fetch


def wsgi_style(source: Any) -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        stream = event_stream(source(), heartbeat=0.05)
        start_response("200 OK", stream.headers.pairs())
        return stream

    return app


def asgi_style(source: Any) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        stream = event_stream(source(), heartbeat=0.05)
        await send({"type": "http.response.start", "status": 200, "headers": stream.headers.fields()})
        try:
            async for part in stream:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        finally:
            await stream.aclose()
        await send({"type": "http.response.body", "body": b""})

    return app


@pytest.mark.parametrize("style", [fetch_style, wsgi_style, asgi_style])
@pytest.mark.parametrize("is_async", [True, False])
def test_events_stream_in_every_style_from_every_kind_of_source(style: Any, is_async: bool) -> None:
    go_on, closed = threading.Event(), threading.Event()

    async def asynchronous() -> AsyncIterator[str]:
        try:
            yield "one"
            await asyncio.to_thread(go_on.wait, BOUND)
            while True:
                yield "more"
        finally:
            closed.set()

    def synchronous() -> Iterator[str]:
        try:
            yield "one"
            go_on.wait(BOUND)
            while True:
                yield "more"
        finally:
            closed.set()

    kind = None if style is not asgi_style else "asgi"
    client = TestClient(style(asynchronous if is_async else synchronous), kind=kind)
    with client, client.stream("GET", "/") as response:
        assert response.headers["content-type"] == "text/event-stream"
        assert response.read_chunk().data == b"data: one\n\n"
        assert response.read_chunk().data == HEARTBEAT
        go_on.set()
        while b"more" not in response.body:
            assert response.read_chunk()
        response.leave()
        assert closed.wait(BOUND)


# --- JSON Lines -------------------------------------------------------------------------------------------------------


async def test_each_value_is_a_line() -> None:
    stream = json_lines([{"a": "é\n"}, None, 1, "x"])
    assert b"".join(await collect(stream)).decode() == '{"a":"é\\n"}\n1\n"x"\n'
    assert stream.headers["content-type"] == "application/x-ndjson"
    assert stream.headers["cache-control"] == "no-cache, no-transform"


@pytest.mark.parametrize("make", [event_stream, json_lines, merge], ids=lambda each: each.__name__)
async def test_a_source_that_its_own_code_cancels_has_failed_and_not_ended(make: Any) -> None:
    async def source() -> AsyncIterator[int]:
        yield 1
        task = asyncio.create_task(asyncio.sleep(BOUND))
        task.cancel()
        await task

    seen: list[Any] = []
    with pytest.raises(RuntimeError, match="the source was cancelled by its own code"):
        await into(seen, make(source()))
    assert seen[0] in (1, b"1\n", b"data: 1\n\n")


def test_a_failing_source_of_lines_cuts_the_response_off() -> None:
    def rows() -> Iterator[int]:
        yield 1
        raise RuntimeError("no more")

    with TestClient(lambda request: json_lines(rows())) as client:
        response = client.get("/")
        assert (response.text, response.verdict, response.detail) == ("1\n", "error", "RuntimeError: no more")


def test_lines_can_be_iterated_over_without_a_loop() -> None:
    stream = json_lines(number for number in range(3))
    assert list(stream) == [b"0\n", b"1\n", b"2\n"]
    stream.close()


# --- fan-in -----------------------------------------------------------------------------------------------------------


async def after(event: asyncio.Event, *items: str) -> AsyncIterator[str]:
    for item in items:
        await event.wait()
        yield item


async def test_items_come_in_the_order_in_which_they_arrive() -> None:
    first, second = asyncio.Event(), asyncio.Event()
    second.set()
    seen = []
    async for item in merge(after(first, "a", "b"), after(second, "x", "y")):
        seen.append(item)
        if len(seen) == 2:
            first.set()
    assert seen == ["x", "y", "a", "b"]


async def test_or_source_by_source_while_the_others_run_ahead() -> None:
    first, closed, begun = asyncio.Event(), asyncio.Event(), []
    seen = []
    stream = merge(after(first, "a"), endless(closed, begun), order="source")
    getting = asyncio.ensure_future(anext(aiter(stream)))
    while len(begun) < 17:  # 16 wait, and one is held
        await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(begun) == 17
    first.set()
    seen.append(await getting)
    async for item in stream:
        seen.append(item)
        if len(seen) == 4:
            break
    await stream.aclose()
    assert seen == ["a", 0, 1, 2]
    assert closed.is_set()


async def test_awaitables_and_synchronous_sources_take_part() -> None:
    async def one() -> str:
        return "awaited"

    def items() -> Iterator[str]:
        yield "from a thread"

    assert sorted(await collect(merge(one(), items(), ["listed"]))) == ["awaited", "from a thread", "listed"]
    assert await collect(merge()) == []


async def test_when_one_fails_the_others_are_cancelled_and_what_came_before_is_given() -> None:
    closed = asyncio.Event()

    async def fails() -> AsyncIterator[str]:
        yield "before"
        raise LookupError("failed")

    async def waits() -> AsyncIterator[str]:
        try:
            await asyncio.Event().wait()
            yield "never"
        finally:
            closed.set()

    seen: list[str] = []
    with pytest.raises(LookupError):
        await into(seen, merge(fails(), waits()))
    assert (seen, closed.is_set()) == (["before"], True)


async def test_a_source_that_fails_as_its_only_deed_is_told_in_either_order() -> None:
    async def fails() -> str:
        raise LookupError("failed")

    for order in ("arrival", "source"):
        with pytest.raises(LookupError):
            await collect(merge(fails(), order=order))


async def test_a_failing_synchronous_source_is_told() -> None:
    def fails() -> Iterator[int]:
        yield 1
        raise KeyError("thread")

    def stops() -> Iterator[int]:
        class Stops:
            def __iter__(self) -> Any:
                return self

            def __next__(self) -> int:
                raise KeyboardInterrupt

        return Stops()

    with pytest.raises(KeyError):
        await collect(merge(fails()))
    with pytest.raises(KeyboardInterrupt):
        await collect(merge(stops()))


async def test_a_consumer_that_leaves_cancels_all_sources() -> None:
    closed = [asyncio.Event(), asyncio.Event()]
    stream = merge(*(endless(event) for event in closed))
    async for _ in stream:
        break
    await stream.aclose()
    assert all(event.is_set() for event in closed)


async def test_a_slow_consumer_pauses_the_sources() -> None:
    closed, begun = asyncio.Event(), []
    stream = merge(endless(closed, begun))
    async for _ in stream:
        break
    for _ in range(1000):
        await asyncio.sleep(0)
    assert len(begun) <= 18
    await stream.aclose()


def test_the_order_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="'arrival' or 'source'"):
        merge([], order="random")
