"""Invocations that come over the socket to the receiver."""

import asyncio
from typing import Any

from dialback_bridge import receiver_socket
from dialback_bridge.callback_url import Target
from dialback_wire.messages import Invoke, Verdict
from dialback_wire.mux import Mux

from .fakes import BOUND, Platform

START = {"type": "http.response.start", "status": 200, "headers": []}


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send({"type": "http.response.body", "body": scope["path"].encode()})


async def dialled(bench: Platform) -> Mux:
    """The receiver's end of the worker's socket, after a first invocation by a poll."""
    first = bench.invoke()
    await first.outcome()
    return bench.receiver.muxes[0]


async def test_it_is_served_on_the_same_socket_and_its_last_word_is_done(bench: Platform) -> None:
    await bench.serve(app)
    tunnel = await dialled(bench)
    calls = [bench.invoke(tunnel=tunnel) for _ in range(5)]
    for call in calls:
        assert (await call.relay.ended()).verdict is Verdict.OK
        assert call.relay.body == b"/"
    await bench.receiver.changes.until(lambda: len(bench.receiver.done) == 5)
    assert sorted(bench.receiver.done) == sorted(call.id for call in calls)
    assert not any(call.id in bench.runtime.outcomes for call in calls), "the runtime API heard of none"
    assert bench.receiver.sockets == 1


async def test_a_worker_that_retires_gives_it_back(bench: Platform) -> None:
    going = asyncio.Event()

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await going.wait()
        await send({"type": "http.response.body", "body": b"done"})

    await bench.serve(waits)
    first = bench.invoke()
    await first.relay.until(lambda: first.relay.head)
    assert bench.worker is not None
    bench.worker.retire()
    late = bench.invoke(tunnel=bench.receiver.muxes[0])
    await bench.receiver.changes.until(lambda: bench.receiver.declined)
    assert (bench.receiver.declined, late.relay.stream) == ([late.id], None)
    going.set()
    assert (await first.relay.ended()).verdict is Verdict.OK


async def test_when_the_socket_is_gone_the_runtime_api_is_told(bench: Platform) -> None:
    holds = False

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        while holds and (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.body", "body": b"."})

    await bench.serve(waits)
    tunnel = await dialled(bench)
    holds = True
    call = bench.invoke(tunnel=tunnel)
    await call.relay.until(lambda: call.relay.head)
    for socket in list(bench.receiver.live):
        await socket.close()
    outcome = await call.outcome()
    assert (outcome.kind, outcome.body["dialback"]["verdict"]) == ("response", "truncated")
    assert not bench.receiver.done


async def test_a_token_that_is_refused_is_reported_to_the_runtime_api(bench: Platform) -> None:
    await bench.serve(app)
    tunnel = await dialled(bench)
    call = bench.invoke(tunnel=tunnel, token="unknown")
    bench.receiver.relays.clear()
    outcome = await call.outcome()
    assert (outcome.kind, outcome.body["errorType"]) == ("error", "Dialback.CallbackRefused")


async def test_sockets_that_nobody_serves_give_everything_back(bench: Platform) -> None:
    socket = await receiver_socket.dial(Target("unix", path=bench.receiver_path), "token", BOUND)
    await bench.receiver.changes.until(lambda: bench.receiver.muxes and bench.receiver.muxes[0].ready)
    bench.receiver.muxes[0].invoke(Invoke("early", 0, b"{}"))
    await bench.receiver.changes.until(lambda: bench.receiver.declined == ["early"])
    socket.abort()
