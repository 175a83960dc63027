"""Requests through edge, invoker and worker; the test plays the worker. Both modes, uploads, time-outs, leaving."""

import asyncio
import base64
import json
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dialback_invoker.settings import TcpAddress
from dialback_wire import payload
from dialback_wire.messages import Reason, Verdict

from .conftest import Stage
from .node import Node, eventually
from .rogue import dialled
from .strings import BOUND

Made = Callable[[Node], Awaitable[Any]]
CLOSE = "Connection: close"


def status(received: bytes) -> int:
    return int(received.split(b" ", 2)[1])


def error(received: bytes) -> str:
    return str(json.loads(received.partition(b"\r\n\r\n")[2])["error"]["code"])


def tcp() -> TcpAddress:
    return TcpAddress(host="127.0.0.1", port=0)


# --- callback mode --------------------------------------------------------------------------------------------------


async def test_chunks_reach_the_client_as_they_are_made_and_the_trace_tells_it_all(stage: Stage) -> None:
    client, puppet, given = await stage.invoked("/@f/a?secret=1", CLOSE)
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.head(200, (b"content-type", b"text/event-stream"))
        for number in range(3):
            seen.stream.write(b"data: %d\n\n" % number)
            await client.until(b"data: %d\n\n" % number)
        live = (await stage.control.get("/v1/invocations?live=true")).json()["invocations"]
        assert [one["id"] for one in live] == [given.id]
        assert (await stage.control.get(f"/v1/invocations/{given.id}")).json()["verdict"] == "running"
        assert (await stage.control.get("/v1/invocations/last")).json()["id"] == given.id
        seen.stream.end(Verdict.OK)
        assert (await client.rest()).endswith(b"\r\n0\r\n\r\n")
        assert await puppet.respond(given, {"dialback": {"verdict": "ok", "count": 30}}) == 202
    trace = await stage.trace(given.id)
    assert (trace["status"], trace["verdict"], trace["code"], trace["cause"]) == (200, "ok", "--", "")
    assert (trace["bytes_out"], trace["chunks"], trace["mode"], trace["cold"]) == (27, 3, "callback", True)
    assert (trace["path"], trace["function"], trace["worker"]) == ("/@f/a", "f", puppet.config["worker"])
    names = [mark["name"] for mark in trace["marks"]]
    wanted = "received admitted queued worker_start worker_spawned worker_ready payload_handed dialed_back "
    assert names == (wanted + "token_accepted head first_byte last_byte end runtime_answered").split()
    passed = {(frame["hop"], frame["direction"], frame["type"]) for frame in trace["frames"]}
    assert {
        ("link", "down", "OPEN"),
        ("runtime", "down", "PAYLOAD"),
        ("socket", "up", "OPEN"),
        ("socket", "down", "ACCEPT"),
        ("socket", "up", "DATA"),
        ("link", "up", "DATA"),
        ("link", "up", "END"),
        ("runtime", "up", "RESPONSE"),
    } <= passed


async def test_a_second_request_finds_the_worker_warm(stage: Stage) -> None:
    client, puppet, given = await stage.invoked("/@f/", CLOSE)
    async with dialled(puppet.receiver, given.token) as rogue:
        (await rogue.accepted(given.token)).respond(b"one")
        await client.rest()
        await puppet.respond(given)
        other = await stage.client()
        other.get("/@f/", CLOSE)
        again = await puppet.given()
        (await rogue.accepted(again.token)).respond(b"two")
        assert (await other.rest()).endswith(b"two")
        await puppet.respond(again)
    trace = await stage.trace(again.id)
    assert trace["cold"] is False
    (worker,) = await stage.workers()
    assert (worker["served"], worker["in_flight"], worker["state"], worker["pid"]) == (2, 0, "idle", puppet.pid)
    assert worker["rss_bytes"] > 0


async def test_a_failure_that_the_bridge_reports_is_the_clients_status(stage: Stage) -> None:
    client, puppet, given = await stage.invoked("/@f/", CLOSE)
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.stream.end(Verdict.ERROR, status=500, code="handler_error", detail="ValueError")
        answer = await client.rest()
    assert (status(answer), error(answer)) == (500, "handler_error")
    await puppet.respond(given)
    trace = await stage.trace(given.id)
    assert (trace["code"], trace["cause"]) == ("FH", "function")


async def test_an_answer_without_a_code_or_status_is_still_a_proper_error(stage: Stage) -> None:
    client, puppet, given = await stage.invoked("/@f/", CLOSE)
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.stream.end(Verdict.ERROR)
        answer = await client.rest()
    assert (status(answer), error(answer)) == (500, "function_failed")


async def test_a_socket_that_closes_before_its_end_is_a_502_before_the_head_and_a_truncation_after_it(
    stage: Stage,
) -> None:
    client, puppet, given = await stage.invoked("/@f/", CLOSE)
    async with dialled(puppet.receiver, given.token) as rogue:
        await rogue.accepted(given.token)
    answer = await client.rest()
    assert (status(answer), error(answer)) == (502, "worker_lost")
    await puppet.respond(given)
    other = await stage.client()
    other.get("/@f/")
    given = await puppet.given()
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.head()
        seen.stream.write(b"begun")
        await other.until(b"begun")
    assert not (await other.rest()).endswith(b"\r\n0\r\n\r\n")
    await puppet.respond(given)
    trace = await stage.trace(given.id)
    assert (trace["verdict"], trace["code"], trace["error"]) == ("truncated", "SD", "worker_lost")


async def test_a_runtime_that_answers_while_its_stream_has_no_end_gets_two_seconds_and_no_more(stage: Stage) -> None:
    client, puppet, given = await stage.invoked("/@f/", CLOSE)
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.head()
        await puppet.respond(given)
        assert await asyncio.wait_for(seen.cancelled, BOUND) is Reason.KILLED
        assert not (await client.rest()).endswith(b"\r\n0\r\n\r\n")
    assert (await stage.trace(given.id))["error"] == "no_end"


async def test_a_worker_that_dies_before_it_dials_is_a_502(stage: Stage) -> None:
    client, puppet, given = await stage.invoked("/@f/", CLOSE)
    os.kill(puppet.pid, signal.SIGKILL)
    answer = await client.rest()
    assert (status(answer), error(answer)) == (502, "worker_died")
    assert (await stage.trace(given.id))["code"] == "SW"


async def test_a_worker_that_dies_takes_its_socket_along(stage: Stage) -> None:
    client, puppet, given = await stage.invoked("/@f/", CLOSE)
    async with dialled(puppet.receiver, given.token) as rogue:
        await rogue.accepted(given.token)
        os.kill(puppet.pid, signal.SIGKILL)
        assert await rogue.closed()
        assert status(await client.rest()) == 502


@pytest.mark.parametrize(
    ("kind", "code", "word"),
    [
        (payload.UNREACHABLE, 504, "receiver_unreachable"),
        (payload.REFUSED, 502, "token_refused"),
        ("ValueError", 500, "handler_error"),
    ],
)
async def test_an_error_at_the_runtime_api_means_what_its_type_says(
    stage: Stage, kind: str, code: int, word: str
) -> None:
    client, puppet, given = await stage.invoked("/@f/", CLOSE)
    assert await puppet.fail(given, kind, "because") == 202
    answer = await client.rest()
    assert (status(answer), error(answer)) == (code, word)


async def test_a_whole_answer_at_the_runtime_api_serves_a_client_in_callback_mode_too(stage: Stage) -> None:
    client, puppet, given = await stage.invoked("/@f/", CLOSE)
    await puppet.respond(given, {"statusCode": 201, "body": "whole"})
    answer = await client.rest()
    assert (status(answer), answer.endswith(b"whole")) == (201, True)


# --- buffered mode --------------------------------------------------------------------------------------------------


async def buffered(stage: Stage, **config: Any) -> None:
    await stage.deploy_puppet("b", mode="buffered", **config)


async def test_a_buffered_event_is_plain_lambdas_and_its_answer_arrives_whole(stage: Stage) -> None:
    await buffered(stage)
    client, puppet, given = await stage.invoked("/@b/x", CLOSE, "X-Amzn-Trace-Id: Root=1-2-3")
    assert "dialback" not in given.event
    assert given.headers["lambda-runtime-trace-id"] == "Root=1-2-3"
    await puppet.respond(given, {"statusCode": 200, "cookies": ["a=1"], "body": "aGk=", "isBase64Encoded": True})
    answer = await client.rest()
    assert answer.endswith(b"\r\n\r\nhi")
    assert b"set-cookie: a=1" in answer
    trace = await stage.trace(given.id)
    assert (trace["mode"], trace["code"], trace["bytes_out"]) == ("buffered", "--", 2)


@pytest.mark.parametrize(
    ("value", "code", "word"),
    [({"statusCode": "x"}, 502, "bad_answer"), ({"statusCode": 700}, 502, "bad_head")],
)
async def test_a_buffered_answer_that_is_none_is_a_502(stage: Stage, value: Any, code: int, word: str) -> None:
    await buffered(stage)
    client, puppet, given = await stage.invoked("/@b/", CLOSE)
    await puppet.respond(given, value)
    answer = await client.rest()
    assert (status(answer), error(answer)) == (code, word)
    assert (await stage.trace(given.id))["code"] == "PH"


async def test_a_buffered_error_is_a_500_and_a_death_a_502(stage: Stage) -> None:
    await buffered(stage)
    client, puppet, given = await stage.invoked("/@b/", CLOSE)
    await puppet.fail(given, "KeyError", "missing")
    answer = await client.rest()
    assert (status(answer), error(answer)) == (500, "handler_error")
    other = await stage.client()
    other.get("/@b/", CLOSE)
    await puppet.given()
    puppet.do(exit=3)
    answer = await other.rest()
    assert (status(answer), error(answer)) == (502, "worker_died")


async def test_a_client_that_leaves_a_buffered_run_leaves_no_trace_of_trouble(stage: Stage) -> None:
    await buffered(stage)
    client, puppet, given = await stage.invoked("/@b/")
    (running,) = stage.invoker.dispatch.live
    client.close()
    await eventually(running.exchange.settled.done)
    await puppet.respond(given, {"statusCode": 200, "body": "nobody reads this"})
    trace = await stage.trace(given.id)
    assert (trace["verdict"], trace["code"]) == ("cancelled", "CH")


# --- request bodies -------------------------------------------------------------------------------------------------


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", CLOSE, *headers]
    if "Transfer-Encoding: chunked" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def test_a_small_body_travels_inside_the_payload(stage: Stage) -> None:
    client = await stage.client()
    client.send(post("/@f/", b"\x00\xff" * 500))
    given = await (await stage.puppet()).given()
    assert (given.event["dialback"]["body"], given.event["dialback"]["body_length"]) == ("inline", 1000)
    assert base64.b64decode(given.event["body"]) == b"\x00\xff" * 500


async def test_a_large_body_streams_through_the_callback(stage: Stage) -> None:
    client = await stage.client()
    body = os.urandom(300_000)
    client.send(post("/@f/", body))
    puppet = await stage.puppet()
    given = await puppet.given()
    assert given.event["dialback"]["body"] == "stream"
    assert "body" not in given.event
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        assert seen.accepted.result().body is True  # type: ignore[union-attr]
        end = await asyncio.wait_for(seen.body_end, BOUND)
        assert (end.verdict, seen.body == body) == (Verdict.OK, True)
        seen.respond(b"read")
        assert (await client.rest()).endswith(b"read")
    await puppet.respond(given)
    assert (await stage.trace(given.id))["bytes_in"] == 300_000


async def test_a_chunked_body_streams_and_keeps_its_trailers(stage: Stage) -> None:
    client = await stage.client()
    head = ("Transfer-Encoding: chunked", "Trailer: x-sum")
    client.send(post("/@f/", b"5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n", *head))
    puppet = await stage.puppet()
    given = await puppet.given()
    assert given.event["dialback"]["body_length"] is None
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        await asyncio.wait_for(seen.body_end, BOUND)
        assert seen.body == b"hello"
        seen.respond(b"read")
        assert (await client.rest()).endswith(b"read")


async def test_an_upload_that_is_cut_short_is_no_clean_end_for_the_worker(stage: Stage) -> None:
    client = await stage.client()
    client.send(post("/@f/", b"", "Content-Length: 200000").replace(b"Content-Length: 0\r\n", b"") + b"x" * 1000)
    puppet = await stage.puppet()
    given = await puppet.given()
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        await eventually(lambda: len(seen.body) == 1000)
        client.close()
        assert await asyncio.wait_for(seen.cancelled, BOUND) is Reason.CLIENT_GONE
        assert not seen.body_end.done() or seen.body_end.result().verdict is not Verdict.OK


async def test_a_buffered_function_gets_a_chunked_body_whole(stage: Stage) -> None:
    await buffered(stage)
    client = await stage.client()
    headers = ("Transfer-Encoding: chunked", "Content-Type: text/plain")
    client.send(post("/@b/", b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", *headers))
    puppet = await stage.puppet()
    given = await puppet.given()
    assert given.event["body"] == "hello world"
    await puppet.respond(given, {"statusCode": 200, "body": "ok"})
    assert (await client.rest()).endswith(b"ok")


async def test_a_whole_body_over_the_limit_is_a_413_and_no_worker_starts(stage: Stage) -> None:
    await buffered(stage)
    client = await stage.client()
    client.send(f"POST /@b/ HTTP/1.1\r\nHost: a\r\n{CLOSE}\r\nContent-Length: 7000000\r\n\r\n".encode())
    answer = await client.rest()
    assert (status(answer), error(answer)) == (413, "too_large")
    other = await stage.client()
    other.send(f"POST /@b/ HTTP/1.1\r\nHost: a\r\n{CLOSE}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    piece = b"%x\r\n" % 1_000_000 + bytes(1_000_000) + b"\r\n"
    other.send(piece * 7)
    assert status(await other.rest()) == 413
    assert [worker for worker in await stage.workers() if worker["function"] == "b"] == []


async def test_an_upload_that_breaks_while_it_is_read_whole_never_reaches_a_worker(stage: Stage) -> None:
    await buffered(stage)
    client = await stage.client()
    client.send(b"POST /@b/ HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly this")
    await eventually(lambda: stage.invoker.dispatch.live)
    client.close()
    await eventually(lambda: not stage.invoker.dispatch.live)
    trace = await stage.trace("last")
    assert (trace["verdict"], trace["cause"]) == ("cancelled", "client")
    assert await stage.workers() == []


# --- leaving --------------------------------------------------------------------------------------------------------


async def test_a_client_that_leaves_cancels_the_worker(stage: Stage) -> None:
    client, puppet, given = await stage.invoked()
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.head()
        seen.stream.write(b"begun")
        await client.until(b"begun")
        client.close()
        assert await asyncio.wait_for(seen.cancelled, BOUND) is Reason.CLIENT_GONE
        await puppet.respond(given)
    trace = await stage.trace(given.id)
    assert (trace["verdict"], trace["code"], trace["cause"]) == ("cancelled", "CD", "client")


async def test_finish_lets_the_worker_go_on_without_its_client(stage: Stage) -> None:
    await stage.deploy_puppet("on", on_disconnect="finish")
    client, puppet, given = await stage.invoked("/@on/")
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.head()
        seen.stream.write(b"begun")
        await client.until(b"begun")
        client.close()
        await eventually(lambda: not stage.edge.connections)
        data = bytes(3_000_000)
        seen.stream.write(data)
        seen.stream.end(Verdict.OK)
        await asyncio.wait_for(seen.closed.wait(), BOUND)
        assert not seen.cancelled.done()
        assert seen.sent == len(data) + 5
        (worker,) = await stage.workers()
        assert worker["in_flight"] == 1
        await puppet.respond(given)
    await stage.trace(given.id)
    (worker,) = await stage.workers()
    assert (worker["in_flight"], worker["state"]) == (0, "idle")


async def test_linger_cancels_the_worker_after_a_while(stage: Stage) -> None:
    await stage.deploy_puppet("on", on_disconnect="linger", linger_seconds=0.2)
    client, puppet, given = await stage.invoked("/@on/")
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.head()
        seen.stream.write(b"begun")
        await client.until(b"begun")
        began = asyncio.get_running_loop().time()
        client.close()
        assert await asyncio.wait_for(seen.cancelled, BOUND) is Reason.CLIENT_GONE
        assert asyncio.get_running_loop().time() - began > 0.15
        await puppet.respond(given)


async def test_a_client_that_leaves_the_queue_causes_no_launch(made: Made) -> None:
    stage = await made(Stage())
    await stage.deploy_puppet("one", concurrency=1, max_workers=1)
    _, puppet, _ = await stage.invoked("/@one/")
    waiting = await stage.client()
    waiting.get("/@one/")
    await eventually(lambda: len(stage.invoker.dispatch.live) == 2)
    waiting.close()
    await eventually(lambda: len(stage.invoker.dispatch.live) == 1)
    trace = await stage.trace((await stage.control.get("/v1/invocations")).json()["invocations"][0]["id"])
    assert trace["code"] == "CQ"
    assert puppet.idle
    assert len(await stage.workers()) == 1


# --- time-outs ------------------------------------------------------------------------------------------------------


async def test_head_condemns_the_worker_and_the_next_request_gets_another(stage: Stage) -> None:
    await stage.deploy_puppet("slow", timeouts={"head": 1.0})
    client, puppet, given = await stage.invoked("/@slow/", CLOSE)
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        answer = await client.rest()
        assert (status(answer), error(answer)) == (504, "timeout_head")
        assert await asyncio.wait_for(seen.cancelled, BOUND) is Reason.TIMEOUT_HEAD
        other = await stage.client()
        other.get("/@slow/")
        second = await stage.puppet()
        assert second.pid != puppet.pid
    await asyncio.wait_for(puppet.gone.wait(), BOUND)
    assert (await stage.trace(given.id))["code"] == "sH"


async def test_idle_and_total_truncate(stage: Stage) -> None:
    for name, timeouts in (("idle", {"idle": 1.0}), ("total", {"total": 2.0})):
        await stage.deploy_puppet(name, timeouts=timeouts)
        client, puppet, given = await stage.invoked(f"/@{name}/")
        async with dialled(puppet.receiver, given.token) as rogue:
            seen = await rogue.accepted(given.token)
            seen.head()
            seen.stream.write(b"begun")
            assert not (await client.rest()).endswith(b"\r\n0\r\n\r\n")
            reason = await asyncio.wait_for(seen.cancelled, BOUND)
        assert reason.name == f"TIMEOUT_{name.upper()}"
        await puppet.respond(given)
        trace = await stage.trace(given.id)
        assert (trace["code"], trace["error"]) == ("sD", f"timeout_{name}")


async def test_the_deadline_that_a_function_is_told_is_when_total_fires_however_long_it_waited(stage: Stage) -> None:
    await stage.deploy_puppet("total", timeouts={"total": 60.0})
    client, puppet, given = await stage.invoked("/@total/")
    told = int(given.headers["lambda-runtime-deadline-ms"]) / 1000
    client.close()
    await puppet.respond(given)
    trace = await stage.trace(given.id)
    marks = {mark["name"]: mark["t"] / 1000 for mark in trace["marks"]}
    waited = marks["payload_handed"] - marks["admitted"]
    assert waited > 0.005, "the worker was there at once: this shows nothing"
    assert told - 60 == pytest.approx(trace["received_at"] + marks["admitted"], abs=waited / 2)


async def test_start_holds_a_worker_that_never_polls(stage: Stage) -> None:
    await stage.deploy_puppet("never-ready", timeouts={"start": 0.5})
    client = await stage.client()
    client.get("/@never-ready/", CLOSE)
    answer = await client.rest()
    assert (status(answer), error(answer)) == (504, "timeout_start")


# --- refusals -------------------------------------------------------------------------------------------------------


async def test_a_full_queue_and_too_many_in_flight_are_503_at_once(made: Made) -> None:
    stage = await made(Stage(queue=1, in_flight=3))
    await stage.deploy_puppet("one", concurrency=1, max_workers=1)
    await stage.invoked("/@one/")
    clients = []
    for number in (2, 3):
        clients.append(await stage.client())
        clients[-1].get("/@one/", CLOSE)
        if number == 2:
            await eventually(lambda: len(stage.invoker.dispatch.live) == 2)
    full = await clients[1].rest()
    assert (status(full), error(full)) == (503, "overloaded")
    assert b"retry-after: " in full.lower()
    await stage.deploy_puppet("two")
    third = await stage.client()
    third.get("/@two/")
    await eventually(lambda: len(stage.invoker.dispatch.live) == 3)
    fourth = await stage.client()
    fourth.get("/@two/", CLOSE)
    assert status(await fourth.rest()) == 503


async def test_who_waits_too_long_for_a_worker_gets_503(made: Made) -> None:
    stage = await made(Stage(queue_seconds=1.0))
    await stage.deploy_puppet("one", concurrency=1, max_workers=1)
    await stage.invoked("/@one/")
    waiting = await stage.client()
    waiting.get("/@one/", CLOSE)
    answer = await waiting.rest()
    assert (status(answer), error(answer)) == (503, "queue_timeout")


async def test_names_that_nobody_has_are_404(stage: Stage) -> None:
    for path, word in (("/@nobody/", "function_not_found"), ("/", "no_function_named"), ("/x", "no_function_named")):
        client = await stage.client()
        client.get(path, CLOSE)
        answer = await client.rest()
        assert (status(answer), error(answer)) == (404, word)


async def test_the_default_function_answers_at_the_root(made: Made) -> None:
    stage = await made(Stage(default="f"))
    await stage.deploy_puppet()
    _, _, given = await stage.invoked("/a/b?c")
    assert (given.event["rawPath"], given.event["dialback"]["root_path"]) == ("/a/b", "")


async def test_a_worker_that_cannot_start_is_a_502_that_says_little_and_a_log_that_says_more(
    made: Made, caplog: pytest.LogCaptureFixture
) -> None:
    node = await made(Node(("/nonexistent/python",)))
    await node.deploy("f")
    answer = await node.http.get("/@f/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "launch_failed")
    assert "nonexistent" not in answer.text
    assert "/nonexistent/python" in caplog.text


# --- tickets --------------------------------------------------------------------------------------------------------


async def test_a_ticket_changes_the_mode_of_one_request(stage: Stage) -> None:
    minted = await stage.control.post("/v1/tickets", json={"function": "f", "mode": "buffered"})
    ticket = minted.json()["ticket"]
    client, puppet, given = await stage.invoked("/@f/", CLOSE, f"x-dialback-run: {ticket}")
    assert "dialback" not in given.event
    assert ticket not in json.dumps(given.event)
    await puppet.respond(given, {"statusCode": 200, "body": "whole"})
    assert (await client.rest()).endswith(b"whole")
    again = await stage.client()
    again.get("/@f/", CLOSE, f"x-dialback-run: {ticket}")
    answer = await again.rest()
    assert (status(answer), error(answer)) == (403, "bad_ticket")


async def test_a_ticket_of_another_function_is_refused(stage: Stage) -> None:
    await stage.deploy_puppet("g")
    ticket = (await stage.control.post("/v1/tickets", json={"function": "g", "mode": "buffered"})).json()["ticket"]
    client = await stage.client()
    client.get("/@f/", CLOSE, f"x-dialback-run: {ticket}")
    assert status(await client.rest()) == 403


async def test_a_run_of_the_page_reports_every_hop(stage: Stage) -> None:
    async def answer() -> None:
        puppet = await stage.puppet()
        given = await puppet.given()
        async with dialled(puppet.receiver, given.token) as rogue:
            seen = await rogue.accepted(given.token)
            seen.respond(b"streamed")
            await puppet.respond(given)
            await asyncio.wait_for(seen.closed.wait(), BOUND)

    run = {"function": "f", "mode": "callback", "method": "GET", "path": "/", "headers": {}, "body": ""}
    answering = asyncio.create_task(answer())
    events = (await stage.control.post("/v1/runs", json=run)).text
    await answering
    for word in ("event: frame", "event: head", "event: chunk", "event: end", "event: trace", '"hop":"socket"'):
        assert word in events.replace(": ", ":").replace("event:", "event: ")
    assert "streamed" in events


# --- deployments and draining ---------------------------------------------------------------------------------------


async def test_a_new_deployment_leaves_running_streams_alone(stage: Stage) -> None:
    client, puppet, given = await stage.invoked()
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.head(200, (b"content-length", b"8"))
        seen.stream.write(b"half")
        await client.until(b"half")
        await stage.deploy_puppet(memory_mb=200)
        other = await stage.client()
        other.get("/@f/")
        second = await stage.puppet()
        assert second.pid != puppet.pid
        assert len(await stage.workers()) == 2
        seen.stream.write(b"more")
        seen.stream.end(Verdict.OK)
        assert await client.until(b"halfmore")
        await puppet.respond(given)
        await asyncio.wait_for(puppet.gone.wait(), BOUND)


async def test_a_removed_function_is_404_and_its_stream_ends_well(stage: Stage) -> None:
    client, puppet, given = await stage.invoked("/@f/", CLOSE)
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        assert (await stage.control.delete("/v1/functions/f")).status_code == 200
        assert (await stage.http.get("/@f/")).status_code == 404
        seen.respond(b"to its end")
        assert (await client.rest()).endswith(b"to its end")
        await puppet.respond(given)
        await asyncio.wait_for(puppet.gone.wait(), BOUND)


async def test_a_drain_refuses_what_is_new_and_sees_the_old_to_its_end(stage: Stage) -> None:
    client, puppet, given = await stage.invoked("/@f/", CLOSE)
    draining = asyncio.create_task(stage.invoker.drain(10))
    await eventually(lambda: stage.invoker.dispatch.draining)
    health = await stage.control.get("/_dialback/health")
    assert (health.status_code, health.json()["status"]) == (503, "draining")
    late = await stage.client()
    late.get("/@f/", CLOSE)
    assert status(await late.rest()) == 503
    async with dialled(puppet.receiver, given.token) as rogue:
        (await rogue.accepted(given.token)).respond(b"in time")
        assert (await client.rest()).endswith(b"in time")
        await puppet.respond(given)
    assert await draining is True


async def test_a_drain_that_is_not_over_in_time_says_so_and_a_stop_cuts_the_rest(stage: Stage) -> None:
    client, puppet, given = await stage.invoked("/@f/", CLOSE)
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.head()
        seen.stream.write(b"begun")
        await client.until(b"begun")
        assert await stage.invoker.drain(0.1) is False
        await stage.invoker.stop()
        assert not (await client.rest()).endswith(b"\r\n0\r\n\r\n")
        assert await rogue.closed()
    await asyncio.wait_for(puppet.gone.wait(), BOUND)
    assert not stage.invoker.run.root.exists()
