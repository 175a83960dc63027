"""ASGI applications, from the payload to the frames at the receiver."""

import asyncio
import json
import os
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

from dialback_bridge import log_capture
from dialback_wire.messages import Reason, Verdict

from .fakes import BOUND, Platform, http_event

START = {"type": "http.response.start", "status": 200, "headers": [(b"Content-Type", b"text/plain")]}


def chunk(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def test_a_response_streams_to_the_receiver_part_by_part(bench: Platform) -> None:
    go_on = asyncio.Event()

    async def app(scope, receive, send):
        await send(START)
        await send(chunk(b"one "))
        await go_on.wait()
        await send(chunk(b"two", more=False))

    await bench.serve(app)
    call = bench.invoke()
    await call.relay.until(lambda: call.relay.body == b"one ")
    assert call.relay.head is not None
    assert call.relay.head.status == 200
    assert call.relay.header(b"content-type") == b"text/plain"
    assert call.relay.end is None
    go_on.set()
    end = await call.relay.ended()
    assert (end.verdict, end.count, call.relay.body) == (Verdict.OK, 7, b"one two")
    assert (await call.outcome()).body == {"dialback": {"verdict": "ok", "count": 7}}


async def test_the_scope_is_what_the_specification_says(bench: Platform) -> None:
    seen: list[dict[str, Any]] = []

    async def app(scope, receive, send):
        seen.append(scope)
        await send(START)
        await send(chunk(b"", more=False))

    await bench.serve(app)
    event = http_event(
        "POST",
        "/a%20b/%C3%A9",
        query="x=1&y=%20",
        headers={"x-forwarded-prefix": "/@hello", "X-Thing": "caf\u00e9", "cookie": "ignored=1"},
        cookies=["a=1", "b=2"],
    )
    call = bench.invoke(event)
    await call.relay.ended()
    (scope,) = seen
    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.4"}
    assert (scope["method"], scope["scheme"], scope["http_version"]) == ("POST", "http", "1.1")
    assert scope["path"] == "/@hello/a b/\u00e9"
    assert scope["raw_path"] == b"/@hello/a%20b/%C3%A9"
    assert scope["root_path"] == "/@hello"
    assert scope["query_string"] == b"x=1&y=%20"
    assert scope["client"] == ("10.1.2.3", 0)
    assert scope["server"] == ("localhost", 8080)
    assert (b"x-thing", b"caf\xe9") in scope["headers"]
    assert [value for name, value in scope["headers"] if name == b"cookie"] == [b"a=1; b=2"]
    assert "db1_" not in repr(scope)


async def test_an_inline_body_arrives_whole_and_a_clean_end_follows(bench: Platform) -> None:
    messages: list[Any] = []

    async def app(scope, receive, send):
        messages.append(await receive())
        await send(START)
        await send(chunk(b"", more=False))
        messages.append(await receive())

    await bench.serve(app)
    call = bench.invoke(http_event("POST", body="aGVsbG8=", is_base64=True))
    assert await call.verdict() == "ok"
    assert messages == [{"type": "http.request", "body": b"hello", "more_body": False}, {"type": "http.disconnect"}]


async def test_a_streamed_body_is_invited_and_arrives_as_it_is_sent(bench: Platform) -> None:
    async def app(scope, receive, send):
        await send(START)
        while True:
            message = await receive()
            await send(chunk(message["body"], more=message["more_body"]))
            if not message["more_body"]:
                return

    await bench.serve(app)
    call = bench.invoke(http_event("POST"), body="stream")
    relay = call.relay
    await relay.until(lambda: relay.invited)
    relay.stream.write(b"first")
    await relay.until(lambda: relay.body == b"first")
    relay.stream.write(b"second")
    await relay.until(lambda: relay.body == b"firstsecond")
    relay.stream.end(Verdict.OK)
    assert (await relay.ended()).verdict is Verdict.OK


async def test_an_upload_that_nobody_reads_stops_at_its_window(bench: Platform) -> None:
    go_on = asyncio.Event()

    async def app(scope, receive, send):
        await go_on.wait()
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message["body"])
            more = message["more_body"]
        await send(START)
        await send(chunk(str(size).encode(), more=False))

    await bench.serve(app)
    call = bench.invoke(http_event("POST"), body="stream")
    relay = call.relay
    await relay.until(lambda: relay.stream)
    size = 3 * 1024 * 1024
    relay.stream.write(bytes(size))
    relay.stream.end(Verdict.OK)
    other = bench.invoke(http_event("POST"), body="stream")
    await other.relay.until(lambda: other.relay.stream)
    assert relay.stream.queued >= size - 64 * 1024
    go_on.set()
    other.relay.stream.end(Verdict.OK)
    assert (await relay.ended()).verdict is Verdict.OK
    assert relay.body == str(size).encode()


async def test_an_upload_cut_short_is_a_disconnect_and_never_a_clean_end(bench: Platform) -> None:
    messages: list[Any] = []

    async def app(scope, receive, send):
        while not messages or messages[-1]["type"] != "http.disconnect":
            messages.append(await receive())

    await bench.serve(app)
    call = bench.invoke(http_event("POST"), body="stream")
    relay = call.relay
    await relay.until(lambda: relay.stream)
    relay.stream.write(b"half")
    relay.stream.end(Verdict.TRUNCATED)
    end = await relay.ended()
    assert messages == [{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}]
    assert (end.verdict, end.status) == (Verdict.TRUNCATED, 400)
    assert await call.verdict() == "truncated"


async def test_a_client_that_leaves_is_a_disconnect_and_send_raises_an_oserror(bench: Platform) -> None:
    seen: list[Any] = []

    async def app(scope, receive, send):
        await receive()
        await send(START)
        await send(chunk(b"x"))
        seen.append(await receive())
        try:
            await send(chunk(b"y"))
        except OSError as error:
            seen.append(type(error).__name__)

    await bench.serve(app)
    call = bench.invoke()
    await call.relay.until(lambda: call.relay.parts)
    call.relay.stream.cancel(Reason.CLIENT_GONE)
    end = await call.relay.ended()
    assert seen == [{"type": "http.disconnect"}, "ClientGone"]
    assert end.verdict is Verdict.CANCELLED
    assert await call.verdict() == "cancelled"


async def test_a_client_may_leave_before_the_head(bench: Platform) -> None:
    seen: list[Any] = []
    running = asyncio.Event()

    async def app(scope, receive, send):
        running.set()
        await receive()
        seen.append(await receive())

    await bench.serve(app)
    call = bench.invoke()
    await asyncio.wait_for(running.wait(), BOUND)
    call.relay.stream.cancel(Reason.CLIENT_GONE)
    await call.relay.ended()
    assert seen == [{"type": "http.disconnect"}]


async def test_a_client_that_left_before_the_handler_was_called_spares_it(bench: Platform) -> None:
    calls: list[Any] = []

    async def app(scope, receive, send):
        calls.append(scope)

    await bench.serve(app)
    call = bench.invoke()
    call.relay.silent = True
    await call.relay.until(lambda: call.relay.stream)
    call.relay.stream.accept()
    call.relay.stream.cancel(Reason.CLIENT_GONE)
    assert (await call.relay.ended()).verdict is Verdict.CANCELLED
    assert await call.verdict() == "cancelled"
    assert calls == []


async def test_an_application_that_ignores_the_disconnect_is_cancelled_and_its_finally_runs(bench: Platform) -> None:
    seen: list[str] = []

    async def app(scope, receive, send):
        await send(START)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            seen.append("finally")

    await bench.serve(app)
    call = bench.invoke()
    await call.relay.until(lambda: call.relay.head)
    call.relay.stream.cancel(Reason.CLIENT_GONE)
    await call.relay.ended()
    assert seen == ["cancelled", "finally"]


async def test_what_is_written_to_an_answer_without_body_is_dropped_without_an_error(bench: Platform) -> None:
    seen: list[Any] = []
    no_body = asyncio.Event()

    async def app(scope, receive, send):
        await receive()
        await send(START)
        await no_body.wait()
        seen.append(await receive())
        await send(chunk(b"dropped"))
        await send(chunk(b"too", more=False))
        seen.append("done")

    await bench.serve(app, grace=5.0)
    call = bench.invoke(http_event("HEAD"))
    await call.relay.until(lambda: call.relay.head)
    call.relay.stream.cancel(Reason.NO_BODY)
    no_body.set()
    await call.relay.ended()
    assert seen == [{"type": "http.disconnect"}, "done"]
    assert call.relay.body == b""
    assert await call.verdict() == "ok"


async def test_an_endless_answer_to_head_ends(bench: Platform) -> None:
    async def app(scope, receive, send):
        await send(START)
        while True:
            await send(chunk(b"tick"))
            await asyncio.sleep(0)

    await bench.serve(app)
    call = bench.invoke(http_event("HEAD"))
    await call.relay.until(lambda: call.relay.head)
    call.relay.stream.cancel(Reason.NO_BODY)
    await call.relay.ended()
    assert await call.verdict() == "ok"


async def test_an_answer_to_head_that_never_completes_is_given_up(
    bench: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dialback_bridge.runs.BODYLESS_TIME", 0.05)
    seen: list[str] = []

    async def app(scope, receive, send):
        await send(START)
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("finally")

    await bench.serve(app)
    call = bench.invoke(http_event("HEAD"))
    await call.relay.until(lambda: call.relay.head)
    call.relay.stream.cancel(Reason.NO_BODY)
    assert await call.verdict() == "ok"
    assert seen == ["finally"]


async def test_an_exception_before_the_head_is_a_500_with_its_type_and_text(bench: Platform) -> None:
    async def app(scope, receive, send):
        raise ValueError("no such thing \udc80")

    await bench.serve(app)
    call = bench.invoke()
    end = await call.relay.ended()
    assert (end.verdict, end.status, end.code) == (Verdict.ERROR, 500, "handler_error")
    assert end.detail == "ValueError: no such thing ?"
    assert call.relay.head is None
    assert await call.verdict() == "error"
    again = bench.invoke()
    assert (await again.relay.ended()).status == 500, "the worker stays usable"


async def test_an_exception_after_the_head_is_an_error_behind_what_was_sent(bench: Platform) -> None:
    async def app(scope, receive, send):
        await send(START)
        await send(chunk(b"so far"))
        raise SystemExit(3)

    await bench.serve(app)
    call = bench.invoke()
    end = await call.relay.ended()
    assert (end.verdict, call.relay.body, end.detail) == (Verdict.ERROR, b"so far", "SystemExit: 3")


async def test_an_application_that_returns_too_early_has_failed(bench: Platform) -> None:
    async def app(scope, receive, send):
        if scope["path"] == "/half":
            await send(START)
            await send(chunk(b"half"))

    await bench.serve(app)
    none, half = bench.invoke(), bench.invoke(http_event(path="/half"))
    assert (await none.relay.ended()).detail == "the application returned without a response"
    end = await half.relay.ended()
    assert (end.verdict, end.count) == (Verdict.ERROR, 4)


async def test_an_application_that_cancels_itself_has_failed(bench: Platform) -> None:
    async def app(scope, receive, send):
        raise asyncio.CancelledError

    await bench.serve(app)
    end = await bench.invoke().relay.ended()
    assert (end.verdict, end.status) == (Verdict.ERROR, 500)


async def test_messages_out_of_turn_are_errors_of_the_application(bench: Platform) -> None:
    errors: list[str] = []

    async def attempt(send, message):
        try:
            await send(message)
        except RuntimeError as error:
            errors.append(str(error))

    async def app(scope, receive, send):
        await attempt(send, chunk(b"x"))
        await attempt(send, {"type": "http.response.push"})
        await send({**START, "trailers": True})
        await attempt(send, START)
        await attempt(send, {"type": "http.response.early_hint", "links": []})
        await attempt(send, {"type": "http.response.trailers", "headers": []})
        await send(chunk(bytearray(b"x"), more=False))
        await attempt(send, chunk(b"more"))
        await send({"type": "http.response.trailers", "headers": [(b"X-Sum", b"1")], "more_trailers": True})
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"2")]})
        await attempt(send, {"type": "http.response.trailers", "headers": []})

    await bench.serve(app)
    call = bench.invoke()
    assert (await call.relay.ended()).verdict is Verdict.OK
    assert len(errors) == 7
    assert call.relay.trailers == ((b"x-sum", b"1"), (b"x-sum", b"2"))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ([(b"x-a", b"b" * 70_000)], "70003 bytes of header fields; 65536 at most"),
        ([(b"x-a", b"b" * 1000)] * 300, "300 header fields; 128 at most"),
        ([(b"x-a", b"b" * 997)] * 100, "100000 bytes of header fields; 65536 at most"),
        ([(b"x" * 65_536, b"")], "a header name or value of 65536 bytes; 65535 at most"),
    ],
)
@pytest.mark.parametrize("replaced", [False, True])
async def test_a_head_that_is_too_large_is_a_502_and_one_line_of_log(
    bench: Platform, fields: list[tuple[bytes, bytes]], words: str, replaced: bool
) -> None:
    async def app(scope, receive, send):
        try:
            await send({**START, "headers": fields})
        except Exception as error:
            if replaced:
                raise RuntimeError("what a framework makes of it") from error
            raise

    reading, writing = os.pipe()
    try:
        await bench.serve(app, log=log_capture.LogSink(writing))
        call = bench.invoke()
        end = await call.relay.ended()
        assert call.relay.head is None
        assert (end.verdict, end.status, end.code) == (Verdict.ERROR, 502, "bad_head")
        assert end.detail == f"the response's head is too large: {words}"
        assert await call.verdict() == "error"
        lines = [json.loads(line).get("line") for line in os.read(reading, 65536).splitlines()]
        assert [line for line in lines if line is not None] == [end.detail]
    finally:
        os.close(reading)
        os.close(writing)


async def test_after_a_head_that_was_too_large_a_smaller_one_can_be_given(bench: Platform) -> None:
    async def app(scope, receive, send):
        with pytest.raises(Exception, match="too large"):
            await send({**START, "headers": [(b"x-a", b"b")] * 129})
        await send({**START, "status": 500, "headers": [(b"x-a", b"b")] * 128})
        await send(chunk(b"sorry", more=False))

    await bench.serve(app)
    call = bench.invoke()
    assert (await call.relay.ended()).verdict is Verdict.OK
    assert call.relay.head is not None
    assert (call.relay.head.status, call.relay.body) == (500, b"sorry")


async def test_hints_and_trailers_that_are_too_large_are_dropped(bench: Platform) -> None:
    async def app(scope, receive, send):
        await send({"type": "http.response.early_hint", "links": [b"x" * 70_000]})
        await send({**START, "trailers": True})
        await send(chunk(b"whole", more=False))
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1" * 70_000)]})

    await bench.serve(app)
    call = bench.invoke()
    assert (await call.relay.ended()).verdict is Verdict.OK
    assert (call.relay.infos, call.relay.body, call.relay.trailers) == ([], b"whole", None)


async def test_early_hints_go_before_the_head(bench: Platform) -> None:
    async def app(scope, receive, send):
        await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
        await send(START)
        await send(chunk(b"", more=False))

    await bench.serve(app)
    call = bench.invoke()
    await call.relay.ended()
    (info,) = call.relay.infos
    assert (info.status, info.fields) == (103, ((b"link", b"</a.css>; rel=preload"),))


async def test_a_slow_reader_pauses_the_application(bench: Platform) -> None:
    sent = 0
    waiting = asyncio.Event()

    async def app(scope, receive, send):
        nonlocal sent
        await send(START)
        for _ in range(512):
            asyncio.get_running_loop().call_soon(waiting.set)
            await send(chunk(bytes(16 * 1024)))
            sent += 16 * 1024
        await send(chunk(b"", more=False))

    await bench.serve(app)
    call = bench.invoke()
    call.relay.taking = False
    await call.relay.until(lambda: len(call.relay.body) == 64 * 1024)
    other = bench.invoke()
    await other.relay.ended()
    assert len(call.relay.body) == 64 * 1024
    assert sent == 512 * 16 * 1024 + 64 * 1024, "the other stream ran to its end, this one stopped at its window"
    call.relay.take_all()
    assert (await call.relay.ended()).count == 512 * 16 * 1024


async def test_the_last_frame_does_not_wait_for_background_work(bench: Platform) -> None:
    go_on, done = asyncio.Event(), asyncio.Event()

    async def work():
        await go_on.wait()
        done.set()

    async def endpoint(request: Request):
        return PlainTextResponse("ok", background=BackgroundTask(work))

    await bench.serve(Starlette(routes=[Route("/", endpoint)]))
    call = bench.invoke()
    assert (await call.relay.ended()).verdict is Verdict.OK
    assert call.id not in bench.runtime.outcomes, "its slot is held until the work is done"
    go_on.set()
    assert await call.verdict() == "ok"
    assert done.is_set()


async def test_starlette_runs_as_it_is(bench: Platform) -> None:
    from contextlib import asynccontextmanager

    life: list[str] = []

    @asynccontextmanager
    async def lifespan(app):
        life.append("up")
        yield {"greeting": "hello"}
        life.append("down")

    async def numbers(request: Request):
        async def generate():
            for number in range(3):
                yield f"{number}\n"

        return StreamingResponse(generate(), media_type="text/plain")

    async def echo(request: Request):
        return JSONResponse({"sum": sum(await request.body()), "greeting": request.state.greeting})

    app = Starlette(routes=[Route("/n", numbers), Route("/echo", echo, methods=["POST"])], lifespan=lifespan)
    await bench.serve(app)
    streamed = bench.invoke(http_event(path="/n"))
    uploaded = bench.invoke(http_event("POST", "/echo"), body="stream")
    await uploaded.relay.until(lambda: uploaded.relay.stream)
    uploaded.relay.stream.write(b"\x01\x02")
    uploaded.relay.stream.end(Verdict.OK)
    assert (await streamed.relay.ended()).verdict is Verdict.OK
    assert streamed.relay.body == b"0\n1\n2\n"
    await uploaded.relay.ended()
    assert uploaded.relay.body == b'{"sum":3,"greeting":"hello"}'
    assert life == ["up"]
    await bench.close()
    bench.closers.clear()
    assert life == ["up", "down"]


async def test_a_framework_that_replaces_the_disconnect_is_cancelled_and_not_a_failure(bench: Platform, caplog) -> None:
    async def endless(request: Request):
        async def generate():
            while True:
                yield b"x" * 1024
                await asyncio.sleep(0)

        return StreamingResponse(generate())

    await bench.serve(Starlette(routes=[Route("/", endless)]))
    call = bench.invoke()
    await call.relay.until(lambda: len(call.relay.body) > 4096)
    call.relay.stream.cancel(Reason.CLIENT_GONE)
    assert (await call.relay.ended()).verdict is Verdict.CANCELLED


async def test_ten_invocations_share_a_socket_and_do_not_disturb_each_other(bench: Platform) -> None:
    async def app(scope, receive, send):
        number = int(scope["path"][1:])
        if number == 3:
            raise RuntimeError("only this one")
        await send(START)
        for index in range(200):
            await send(chunk(b"%d-%d;" % (number, index)))
            if index % 10 == number:
                await asyncio.sleep(0)
        await send(chunk(b"", more=False))

    await bench.serve(app, concurrency=10)
    calls = [bench.invoke(http_event(path=f"/{number}")) for number in range(10)]
    ends = [await call.relay.ended() for call in calls]
    for number, (call, end) in enumerate(zip(calls, ends, strict=True)):
        if number == 3:
            assert end.verdict is Verdict.ERROR
        else:
            assert end.verdict is Verdict.OK
            assert call.relay.body == b"".join(b"%d-%d;" % (number, index) for index in range(200))
    assert bench.receiver.sockets == 1
    assert bench.runtime.most_polls <= 4
