"""Which responses leave as one frame: those that are small and complete in the tick in which they began."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dialback_bridge.entry import Kind
from dialback_wire.messages import Reason, Verdict
from dialback_wire.stream import MAX_ANSWER

from .fakes import BOUND, Platform, http_event

Send = Callable[[Any], Awaitable[None]]

START = {"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"b")]}


def body(data: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def answering(*messages: dict[str, Any]) -> Any:
    async def app(scope: Any, receive: Any, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


@pytest.mark.parametrize("data", [b"hello", b"", b"x" * MAX_ANSWER])
async def test_a_small_one_is_one_frame(bench: Platform, data: bytes) -> None:
    await bench.serve(answering(START, body(data)))
    call = bench.invoke()
    end = await call.relay.ended()
    assert call.relay.whole
    assert (end.verdict, end.count, call.relay.body) == (Verdict.OK, len(data), data)
    assert call.relay.header(b"x-a") == b"b"
    assert await call.verdict() == "ok"


@pytest.mark.parametrize(
    "messages",
    [
        [START, body(b"x" * (MAX_ANSWER + 1))],
        [START, body(b"one", more=True), body(b"two")],
        [{**START, "trailers": True}, body(b"one"), {"type": "http.response.trailers", "headers": [(b"t", b"1")]}],
    ],
    ids=["large", "in parts", "with trailers"],
)
async def test_others_come_apart(bench: Platform, messages: list[dict[str, Any]]) -> None:
    await bench.serve(answering(*messages))
    call = bench.invoke()
    end = await call.relay.ended()
    assert not call.relay.whole
    assert end.verdict is Verdict.OK
    assert call.relay.body == b"".join(message.get("body", b"") for message in messages)


async def test_a_head_does_not_wait_for_a_body_that_comes_later(bench: Platform) -> None:
    go_on = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await send(START)
        await go_on.wait()
        await send(body(b"late"))

    await bench.serve(app)
    call = bench.invoke()
    await call.relay.until(lambda: call.relay.head)
    assert not call.relay.parts
    go_on.set()
    await call.relay.ended()
    assert not call.relay.whole
    assert call.relay.body == b"late"


async def test_a_handler_that_fails_behind_its_head_is_cut_and_not_complete(bench: Platform) -> None:
    async def app(scope: Any, receive: Any, send: Send) -> None:
        await send(START)
        raise ValueError("too bad")

    await bench.serve(app)
    call = bench.invoke()
    end = await call.relay.ended()
    assert call.relay.head is not None
    assert (end.verdict, end.code) == (Verdict.ERROR, "handler_error")


async def test_a_client_that_has_left_gets_none(bench: Platform) -> None:
    left, told = asyncio.Event(), asyncio.Event()
    raised: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Send) -> None:
        left.set()
        await receive()
        await receive()
        try:
            await send(START)
            await send(body(b"for nobody"))
        except OSError as error:
            raised.append(error)
            raise
        finally:
            told.set()

    await bench.serve(app)
    call = bench.invoke()
    await asyncio.wait_for(left.wait(), BOUND)
    assert call.relay.stream is not None
    call.relay.stream.cancel(Reason.CLIENT_GONE)
    await asyncio.wait_for(told.wait(), BOUND)
    assert raised
    end = await call.relay.ended()
    assert end.verdict is Verdict.CANCELLED
    assert not call.relay.whole


async def test_a_returned_value_is_one_frame(bench: Platform) -> None:
    def handler(event: Any, context: Any) -> Any:
        return {"statusCode": 201, "body": "made"}

    await bench.serve(handler, Kind.LAMBDA)
    call = bench.invoke(http_event())
    await call.relay.ended()
    assert call.relay.whole
    assert call.relay.head is not None
    assert (call.relay.head.status, call.relay.body) == (201, b"made")


@pytest.mark.parametrize("status", [70_000, -1])
@pytest.mark.parametrize("data", [b"", b"body"])
@pytest.mark.parametrize("waits", [True, False])
async def test_a_status_that_cannot_travel_is_told_to_the_handler_and_to_the_client(
    bench: Platform, status: int, data: bytes, waits: bool
) -> None:
    async def app(scope: Any, receive: Any, send: Send) -> None:
        await send({**START, "status": status})
        if waits:
            await asyncio.sleep(0)
        await send(body(data))

    await bench.serve(app)
    call = bench.invoke()
    end = await call.relay.ended()
    assert (end.verdict, end.status, end.code) == (Verdict.ERROR, 502, "bad_head")
    assert str(status) in end.detail
