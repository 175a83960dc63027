"""`handler(event, context)`: what is returned and what is yielded, in callback mode."""

import asyncio
import contextvars
import functools
import threading
import time
from typing import Any

import pytest

from dialback_bridge import lambda_values
from dialback_bridge.entry import Kind
from dialback_bridge.handlers.lambda_context import NO_DEADLINE_MS, LambdaContext
from dialback_bridge.runtime_client import Delivery
from dialback_wire.messages import Reason, Verdict

from .fakes import BOUND, Call, Platform, http_event


async def answer(bench: Platform, handler: Any, event: dict[str, Any] | None = None) -> Call:
    if bench.worker is None:
        await bench.serve(handler, Kind.LAMBDA)
    call = bench.invoke(event)
    await call.relay.ended()
    return call


@pytest.mark.parametrize(
    ("value", "status", "content_type", "body"),
    [
        ({"statusCode": 201, "body": "made"}, 201, b"application/json", b"made"),
        ({"statusCode": "200", "headers": {"Content-Type": "text/html"}, "body": "<p>"}, 200, b"text/html", b"<p>"),
        ({"statusCode": 200, "body": "aGk=", "isBase64Encoded": True}, 200, b"application/json", b"hi"),
        ({"statusCode": 200, "body": {"a": 1}}, 200, b"application/json", b'{"a":1}'),
        ({"statusCode": 200, "headers": {"Content-Length": "9"}, "body": "x"}, 200, b"application/json", b"x"),
        ({"statusCode": 200, "headers": {"content-type": "\u2713"}}, 200, "\u2713".encode(), b""),
        ({"statusCode": 204}, 204, b"application/json", b""),
        ({"message": "h\u00e9"}, 200, b"application/json", '{"message":"h\u00e9"}'.encode()),
        ([1, None], 200, b"application/json", b"[1,null]"),
        ("text", 200, b"application/json", b"text"),
        (None, 200, b"application/json", b"null"),
    ],
)
async def test_a_returned_value_becomes_a_response_as_at_a_function_url(
    bench: Platform, value: Any, status: int, content_type: bytes, body: bytes
) -> None:
    call = await answer(bench, lambda event, context: value)
    assert call.relay.head is not None
    assert (call.relay.head.status, call.relay.header(b"content-type"), call.relay.body) == (status, content_type, body)
    assert call.relay.header(b"content-length") == str(len(body)).encode()


async def test_cookies_become_fields_of_their_own(bench: Platform) -> None:
    call = await answer(
        bench, lambda e, c: {"statusCode": 200, "cookies": ["a=1", "b=2"], "headers": {"X": [True, 1, None]}}
    )
    assert call.relay.head is not None
    assert call.relay.head.fields[:5] == (
        *((b"x", b"true"), (b"x", b"1"), (b"x", b"")),
        *((b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")),
    )


async def test_an_async_handler_runs_on_the_loop(bench: Platform) -> None:
    async def handler(event, context):
        assert threading.current_thread() is threading.main_thread()
        await asyncio.sleep(0)
        return {"statusCode": 200, "body": event["rawPath"]}

    assert (await answer(bench, handler, http_event(path="/here"))).relay.body == b"/here"


async def test_synchronous_handlers_run_side_by_side_in_threads(bench: Platform) -> None:
    barrier = threading.Barrier(3, timeout=BOUND)

    def handler(event, context):
        barrier.wait()
        return "met"

    await bench.serve(handler, Kind.LAMBDA, concurrency=3)
    for call in [bench.invoke() for _ in range(3)]:
        assert (await call.relay.ended()).verdict is Verdict.OK


async def test_a_decorated_async_handler_works(bench: Platform) -> None:
    async def inner(event, context):
        yield "a"
        yield "b"

    @functools.wraps(inner, assigned=())
    def handler(event, context):
        return inner(event, context)

    handler.__wrapped__ = None
    assert (await answer(bench, handler)).relay.body == b"ab"


@pytest.mark.parametrize(
    ("items", "content_type", "body"),
    [
        (["h\u00e9", b"!", None, {"n": 1}], b"text/plain; charset=utf-8", 'h\u00e9!{"n":1}\n'.encode()),
        ([b"\x00", "x"], b"application/octet-stream", b"\x00x"),
        ([{"n": 1}, [2], 3], b"application/x-ndjson", b'{"n":1}\n[2]\n3\n'),
        ([None, "late"], b"text/plain; charset=utf-8", b"late"),
        ([], b"text/plain; charset=utf-8", b""),
    ],
)
async def test_the_first_yielded_item_decides_the_content_type(
    bench: Platform, items: list[Any], content_type: bytes, body: bytes
) -> None:
    def handler(event, context):
        yield from items

    call = await answer(bench, handler)
    assert call.relay.head is not None
    assert (call.relay.head.status, call.relay.header(b"content-type")) == (200, content_type)
    assert call.relay.body == body
    assert await call.verdict() == "ok"


async def test_a_first_dict_with_a_status_code_is_the_head_and_is_sent_at_once(bench: Platform) -> None:
    go_on = threading.Event()

    def handler(event, context):
        yield {"statusCode": 207, "headers": {"Content-Type": "text/event-stream"}, "cookies": ["a=1"], "body": "hi "}
        assert go_on.wait(BOUND)
        yield "you"

    await bench.serve(handler, Kind.LAMBDA)
    call = bench.invoke()
    await call.relay.until(lambda: call.relay.body == b"hi ")
    assert call.relay.head is not None
    assert call.relay.head.status == 207
    assert call.relay.head.fields == ((b"content-type", b"text/event-stream"), (b"set-cookie", b"a=1"))
    go_on.set()
    await call.relay.ended()
    assert call.relay.body == b"hi you"


async def test_an_async_generator_streams(bench: Platform) -> None:
    go_on = asyncio.Event()

    async def handler(event, context):
        yield "one "
        await go_on.wait()
        yield "two"

    await bench.serve(handler, Kind.LAMBDA)
    call = bench.invoke()
    await call.relay.until(lambda: call.relay.body == b"one ")
    go_on.set()
    await call.relay.ended()
    assert call.relay.body == b"one two"


async def test_a_coroutine_may_give_a_generator(bench: Platform) -> None:
    async def handler(event, context):
        return (str(number) for number in range(3))

    assert (await answer(bench, handler)).relay.body == b"012"


async def test_a_synchronous_generator_lives_in_one_thread_and_is_closed_there(bench: Platform) -> None:
    seen: list[tuple[str, int]] = []
    closed = threading.Event()

    def handler(event, context):
        try:
            while True:
                seen.append(("item", threading.get_ident()))
                yield b"x" * 100
        except GeneratorExit:
            seen.append(("exit", threading.get_ident()))
            raise
        finally:
            closed.set()

    await bench.serve(handler, Kind.LAMBDA)
    call = bench.invoke()
    await call.relay.until(lambda: len(call.relay.body) > 1000)
    call.relay.stream.cancel(Reason.CLIENT_GONE)
    assert (await call.relay.ended()).verdict is Verdict.CANCELLED
    assert closed.is_set()
    assert seen[-1][0] == "exit"
    assert len({thread for _, thread in seen}) == 1
    assert seen[0][1] != threading.get_ident()


async def test_the_next_item_is_asked_for_when_the_last_has_left(bench: Platform) -> None:
    made = 0
    loop = asyncio.get_running_loop()

    def handler(event, context):
        nonlocal made
        for _ in range(64):
            made += 1
            loop.call_soon_threadsafe(bench.receiver.changes.changed)
            yield bytes(16 * 1024)

    await bench.serve(handler, Kind.LAMBDA)
    call = bench.invoke()
    call.relay.taking = False
    await call.relay.until(lambda: len(call.relay.body) == 64 * 1024 and made == 5)
    other = bench.invoke()
    await other.relay.ended()
    assert made == 5 + 64, "four filled the window, the fifth waits"
    call.relay.take_all()
    assert (await call.relay.ended()).count == 1024 * 1024


async def test_an_async_generator_is_closed_when_the_client_leaves(bench: Platform) -> None:
    seen: list[str] = []

    async def handler(event, context):
        try:
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0)
        finally:
            seen.append("finally")

    await bench.serve(handler, Kind.LAMBDA)
    call = bench.invoke()
    await call.relay.until(lambda: call.relay.parts)
    call.relay.stream.cancel(Reason.CLIENT_GONE)
    await call.relay.ended()
    assert seen == ["finally"]


async def test_an_async_handler_that_waits_is_cancelled(bench: Platform) -> None:
    seen: list[str] = []
    running = asyncio.Event()

    async def handler(event, context):
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("finally")

    await bench.serve(handler, Kind.LAMBDA)
    call = bench.invoke()
    await asyncio.wait_for(running.wait(), BOUND)
    call.relay.stream.cancel(Reason.TIMEOUT_HEAD)
    end = await call.relay.ended()
    assert (end.verdict, end.status, end.code, seen) == (Verdict.TIMEOUT, 504, "timeout_head", ["finally"])


async def test_a_synchronous_handler_holds_its_slot_until_it_returns(bench: Platform) -> None:
    go_on, running = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def handler(event, context):
        loop.call_soon_threadsafe(running.set)
        assert go_on.wait(BOUND)
        return "late"

    await bench.serve(handler, Kind.LAMBDA, concurrency=1, grace=0.0)
    call = bench.invoke()
    await asyncio.wait_for(running.wait(), BOUND)
    call.relay.stream.cancel(Reason.CLIENT_GONE)
    other = bench.invoke()
    await bench.receiver.changes.until(lambda: bench.runtime.polls == 0)
    assert other.relay.stream is None
    go_on.set()
    assert (await call.relay.ended()).verdict is Verdict.CANCELLED
    await other.relay.ended()
    assert other.relay.body == b"late"


@pytest.mark.parametrize(
    ("handler", "detail"),
    [
        (lambda e, c: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda e, c: {"statusCode": "soon"}, "the handler's response cannot be used"),
        (lambda e, c: {"statusCode": 200, "headers": {"x\u00e9": 1}}, "the handler's response cannot be used"),
        (
            lambda e, c: {"statusCode": 200, "body": "abc", "isBase64Encoded": True},
            "the handler's response cannot be used",
        ),
        (lambda e, c: {1, 2}, "the value that the handler gave cannot be written as JSON"),
        (lambda e, c: iter([{"statusCode": []}]), "the handler's response cannot be used"),
    ],
)
async def test_a_failure_before_the_head_says_what_is_wrong(bench: Platform, handler: Any, detail: str) -> None:
    call = await answer(bench, handler)
    assert call.relay.end is not None
    assert (call.relay.end.verdict, call.relay.end.status) == (Verdict.ERROR, 500)
    assert detail in call.relay.end.detail


async def test_a_generator_that_fails_later_truncates(bench: Platform) -> None:
    def handler(event, context):
        yield "so far"
        raise KeyError("gone")

    call = await answer(bench, handler)
    assert call.relay.end is not None
    assert (call.relay.end.verdict, call.relay.body) == (Verdict.ERROR, b"so far")


async def test_a_streamed_body_is_made_whole(bench: Platform) -> None:
    def handler(event, context):
        return {"statusCode": 200, "body": f"{event['body']} {event['isBase64Encoded']}"}

    await bench.serve(handler, Kind.LAMBDA)
    for content_type, sent, seen in (
        ("text/plain", [b"h\xc3", b"\xa9"], "h\u00e9 False"),
        ("application/octet-stream", [b"hi"], "aGk= True"),
        ("application/json", [b"\xff"], "/w== True"),
    ):
        call = bench.invoke(http_event("POST", headers={"content-type": content_type}), body="stream")
        await call.relay.until(lambda: call.relay.stream)  # noqa: B023
        for part in sent:
            call.relay.stream.write(part)
        call.relay.stream.end(Verdict.OK)
        await call.relay.ended()
        assert call.relay.body.decode() == seen


async def test_a_body_over_six_megabytes_is_a_413(bench: Platform) -> None:
    calls: list[Any] = []
    await bench.serve(lambda event, context: calls.append(event), Kind.LAMBDA)
    call = bench.invoke(http_event("POST"), body="stream")
    await call.relay.until(lambda: call.relay.stream)
    call.relay.stream.write(bytes(6 * 1024 * 1024 + 1))
    end = await call.relay.ended()
    assert (end.verdict, end.status, end.code) == (Verdict.ERROR, 413, "body_too_large")
    assert calls == []


async def test_an_upload_cut_short_never_reaches_the_handler(bench: Platform) -> None:
    calls: list[Any] = []
    await bench.serve(lambda event, context: calls.append(event), Kind.LAMBDA)
    call = bench.invoke(http_event("POST"), body="stream")
    await call.relay.until(lambda: call.relay.stream)
    call.relay.stream.write(b"half")
    call.relay.stream.end(Verdict.TRUNCATED)
    assert (await call.relay.ended()).verdict is Verdict.TRUNCATED
    assert calls == []


async def test_context_variables_reach_the_thread(bench: Platform) -> None:
    variable = contextvars.ContextVar("variable", default="outer")
    variable.set("inherited")

    def handler(event, context):
        before = variable.get()
        variable.set("inner")
        return before

    assert (await answer(bench, handler)).relay.body == b"inherited"
    assert variable.get() == "inherited"


def test_the_context_is_as_aws_documents_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "hello")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_VERSION", "7")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
    monkeypatch.setenv("AWS_LAMBDA_LOG_GROUP_NAME", "group")
    monkeypatch.setenv("AWS_LAMBDA_LOG_STREAM_NAME", "stream")
    deadline = int((time.time() + 60) * 1000)
    identity = '{"cognitoIdentityId": "i", "cognitoIdentityPoolId": "p"}'
    client = '{"client": {"app_title": "t"}, "custom": {"k": "v"}, "env": {}}'
    context = LambdaContext(Delivery("rid", deadline, "arn:f", client, identity, b""))
    assert (context.aws_request_id, context.invoked_function_arn) == ("rid", "arn:f")
    assert (context.function_name, context.function_version, context.memory_limit_in_mb) == ("hello", "7", "256")
    assert (context.log_group_name, context.log_stream_name) == ("group", "stream")
    assert (context.identity.cognito_identity_id, context.identity.cognito_identity_pool_id) == ("i", "p")
    assert context.client_context is not None
    assert (context.client_context.client.app_title, context.client_context.custom) == ("t", {"k": "v"})
    assert 50_000 < context.get_remaining_time_in_millis() <= 60_000
    assert "rid" in repr(context)
    bare = LambdaContext(Delivery("rid", None, "", "not json", None, b""))
    assert (bare.client_context, bare.get_remaining_time_in_millis()) == (None, NO_DEADLINE_MS)
    assert LambdaContext(Delivery("rid", 1, "", None, None, b"")).get_remaining_time_in_millis() == 0


def test_a_collected_response_keeps_cookies_apart_and_joins_repeated_fields() -> None:
    fields = [(b"x", b"1"), (b"x", b"2"), (b"set-cookie", b"a=1"), (b"content-type", b"image/png")]
    assert lambda_values.collected(200, fields, b"\x89") == {
        "statusCode": 200,
        "headers": {"x": "1, 2", "content-type": "image/png"},
        "cookies": ["a=1"],
        "body": "iQ==",
        "isBase64Encoded": True,
    }
