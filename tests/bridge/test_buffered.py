"""Events without a callback: the answer goes through the runtime API, whole."""

import asyncio
import time
from typing import Any

import pytest

from dialback_bridge.entry import Kind
from dialback_wire.payload import LAMBDA_LIMIT

from .fakes import BOUND, Platform, http_event

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}


async def test_a_lambda_value_is_passed_on_as_it_is(bench: Platform) -> None:
    await bench.serve(lambda event, context: {"echo": event}, Kind.LAMBDA)
    outcome = await bench.invoke_buffered({"any": "event"})
    assert (outcome.kind, outcome.body) == ("response", {"echo": {"any": "event"}})
    assert (await bench.invoke_buffered([1, 2], "other")).body == {"echo": [1, 2]}


async def test_a_generator_is_collected(bench: Platform) -> None:
    def handler(event, context):
        yield {"statusCode": 201, "headers": {"content-type": "text/plain"}}
        yield "one "
        yield "two"

    await bench.serve(handler, Kind.LAMBDA)
    assert (await bench.invoke_buffered(http_event())).body == {
        "statusCode": 201,
        "headers": {"content-type": "text/plain"},
        "body": "one two",
        "isBase64Encoded": False,
    }


async def test_an_asgi_response_is_collected(bench: Platform) -> None:
    async def app(scope, receive, send):
        message = await receive()
        assert not message["more_body"]
        await send({"type": "http.response.early_hint", "links": []})
        await send({**START, "trailers": True})
        await send({"type": "http.response.body", "body": message["body"], "more_body": True})
        await send({"type": "http.response.body", "body": b"!"})
        await send({"type": "http.response.trailers", "headers": []})

    await bench.serve(app)
    outcome = await bench.invoke_buffered(http_event("POST", body="hello"))
    assert (outcome.body["statusCode"], outcome.body["body"]) == (200, "hello!")


async def test_an_asgi_application_gets_http_events_only(bench: Platform) -> None:
    async def app(scope, receive, send):
        raise AssertionError("not called")

    await bench.serve(app)
    outcome = await bench.invoke_buffered({"Records": []})
    assert outcome.kind == "error"
    assert "not an HTTP request" in outcome.body["errorMessage"]


async def test_an_exception_is_reported_as_lambda_reports_it(bench: Platform) -> None:
    def handler(event, context):
        raise ValueError("nope")

    await bench.serve(handler, Kind.LAMBDA)
    outcome = await bench.invoke_buffered({})
    assert outcome.kind == "error"
    assert (outcome.body["errorType"], outcome.body["errorMessage"]) == ("ValueError", "nope")
    assert any("handler" in frame for frame in outcome.body["stackTrace"])


async def test_a_value_that_is_no_json_is_reported(bench: Platform) -> None:
    await bench.serve(lambda event, context: object(), Kind.LAMBDA)
    outcome = await bench.invoke_buffered({})
    assert outcome.body["errorType"] == "InvalidResponse"


@pytest.mark.parametrize("way", ["returned", "yielded", "swallowed"])
async def test_six_megabytes_are_the_limit_of_an_answer(bench: Platform, way: str) -> None:
    def returned(event, context):
        return "x" * LAMBDA_LIMIT

    def yielded(event, context):
        while True:
            yield "x" * 1_000_000

    async def swallowed(scope, receive, send):
        await send(START)
        for _ in range(8):
            try:
                await send({"type": "http.response.body", "body": bytes(1_000_000), "more_body": True})
            except OSError:
                assert (await receive())["type"] == "http.disconnect"

    handlers: dict[str, Any] = {"returned": returned, "yielded": yielded, "swallowed": swallowed}
    await bench.serve(handlers[way], Kind.ASGI if way == "swallowed" else Kind.LAMBDA)
    outcome = await bench.invoke_buffered(http_event())
    assert (outcome.kind, outcome.body["errorType"]) == ("error", "Function.ResponseSizeTooLarge")


async def test_a_runtime_api_that_takes_less_is_told_of_the_error(bench: Platform) -> None:
    bench.runtime.response_status = 413
    await bench.serve(lambda event, context: "x", Kind.LAMBDA)
    assert (await bench.invoke_buffered({})).body["errorType"] == "Function.ResponseSizeTooLarge"


async def test_six_megabytes_are_the_limit_of_a_request(bench: Platform) -> None:
    await bench.serve(lambda event, context: "x", Kind.LAMBDA)
    outcome = await bench.invoke_buffered(http_event("POST", body="x" * (LAMBDA_LIMIT + 1)))
    assert outcome.body["errorType"] == "Dialback.body_too_large"


async def test_the_deadline_ends_a_handler_that_waits(bench: Platform) -> None:
    seen: list[str] = []

    async def handler(event, context):
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("finally")

    await bench.serve(handler, Kind.LAMBDA)
    deadline = str(int(time.time() * 1000) + 20)
    outcome = await bench.invoke_buffered({}, **{"Lambda-Runtime-Deadline-Ms": deadline})
    assert (outcome.kind, outcome.body["errorType"], seen) == ("error", "Sandbox.Timedout", ["finally"])


async def test_the_deadline_ends_a_stream_too(bench: Platform) -> None:
    async def handler(event, context):
        yield "x"
        await asyncio.Event().wait()

    await bench.serve(handler, Kind.LAMBDA)
    call = bench.invoke(**{"Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 20)})
    end = await call.relay.ended()
    assert (end.verdict.name, end.code, call.relay.body) == ("TIMEOUT", "deadline", b"x")
    assert await call.verdict() == "timeout"


@pytest.mark.parametrize(
    "event",
    [
        b"no json",
        b"{} {}",
        {"dialback": {"version": 2}},
        {"dialback": {"version": 1, "invocation": "x"}},
        {"dialback": []},
        {"dialback": {"version": 1, "invocation": "x", "url": "u", "token": "a\r\nb", "body": "none"}},
        {"dialback": {"version": 1, "invocation": "x", "url": "u", "token": "t", "body": "elsewhere"}},
        {
            "dialback": {"version": 1, "invocation": "x", "url": "u", "token": "t", "body": "inline"},
            "body": "?",
            "isBase64Encoded": True,
        },
        {"requestContext": {}, "body": "\u2713", "isBase64Encoded": True},
    ],
)
async def test_a_payload_that_cannot_be_used_is_an_error_and_the_worker_goes_on(bench: Platform, event: Any) -> None:
    await bench.serve(lambda event, context: "fine", Kind.LAMBDA)
    outcome = await bench.invoke_buffered(event)
    assert (outcome.kind, outcome.body["errorType"]) == ("error", "Dialback.BadPayload")
    assert (await bench.invoke_buffered(b" {}\n", "next")).body == "fine"


async def test_a_shut_down_ends_what_is_buffered(bench: Platform) -> None:
    running = asyncio.Event()

    async def handler(event, context):
        running.set()
        await asyncio.Event().wait()

    await bench.serve(handler, Kind.LAMBDA)
    bench.runtime.hand_out("plain", {})
    await asyncio.wait_for(running.wait(), BOUND)
    assert bench.worker is not None
    bench.worker.retire()
    bench.worker.retire()
    assert (await bench.runtime.outcome("plain")).kind == "error"
    assert bench.serving is not None
    await asyncio.wait_for(bench.serving, BOUND)


async def test_an_application_that_ends_without_an_answer_has_failed(bench: Platform) -> None:
    async def app(scope, receive, send):
        pass

    await bench.serve(app)
    outcome = await bench.invoke_buffered(http_event())
    assert "returned without a response" in outcome.body["errorMessage"]
