"""Replays: the recorded request, made again as it was, against a deployment and in a mode of choice, and compared."""

from typing import Any

import pytest
from aiohttp import web

from dialback_invoker.control.replays import comparison
from dialback_invoker.recorded_request import recorded
from dialback_wire.messages import Request

from .test_control_runs import events

ID = "0123456789abcdefghjkmnpqrs"
AGAIN = "zzzzzzzzzzzzzzzzzzzzzzzzzz"


def trace(identity: str = ID, body: bytes | None = b"hi", **other: Any) -> dict[str, Any]:
    fields = ((b"content-type", b"text/plain"), (b"accept", b"a"), (b"accept", b"b"), (b"authorization", b"hunter2"))
    asked = Request(identity, b"POST", b"/@chat/a?b=%20", b"chat.example", fields, b"http", b"1.1", b"1.2.3.4:5", 2)
    return {
        "id": identity, "function": "chat", "deployment": "d_old", "mode": "buffered", "method": "POST",
        "path": "/@chat/a", "received_at": 50.0, "status": 200, "verdict": "ok", "first_byte_ms": 30.0,
        "total_ms": 40.0, "bytes_out": 5, "chunks": 1, "request": recorded(asked, body),
        "answer": {"crc32": 7, "checked": 5}, "marks": [{"name": "received", "t": 0.0}],
    } | other  # fmt: skip


async def record(control: Any, *traces: dict[str, Any]) -> None:
    for one in traces:
        control.services.recorder.record(one)
    await control.services.recorder.flush()


async def refused(control: Any, identity: str = ID, **wanted: Any) -> tuple[int, str]:
    status, body = await control.ask("POST", f"/v1/invocations/{identity}/replay", json=wanted)
    return status, body["error"]["code"]


async def test_the_last_one_is_the_last_of_a_function_that_is_still_there(control: Any, edge: Any) -> None:
    await control.deploy(app__py=b"app = 1\n")
    await record(control, trace(), trace(AGAIN, function="dialback-probe", received_at=60.0))

    async def answer(request: web.Request) -> web.Response:
        control.platform.feeds["ticket-1"].close()
        return web.Response(text="fresh!")

    await edge(answer)
    async with control.session.post("/v1/invocations/last/replay", json={}) as response:
        told = [event async for event in events(response)]
    assert told[0][1]["original"]["id"] == ID


async def test_the_request_goes_out_as_it_came_and_the_answers_are_compared(control: Any, edge: Any) -> None:
    _, old = await control.deploy(app__py=b"app = 1\n")
    await control.deploy(app__py=b"app = 2\n")
    await record(control, trace())
    seen: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request)
        assert await request.read() == b"hi"
        control.services.recorder.record(trace(AGAIN, first_byte_ms=12.5, status=201, bytes_out=6, mode="callback"))
        control.platform.feeds["ticket-1"].close()
        return web.Response(text="fresh!", headers={"x-dialback-id": AGAIN})

    await edge(answer)
    wanted = {"deployment": old["deployment"], "mode": "callback", "headers": {"X-Extra": "1", "Accept": "c"}}
    async with control.session.post(f"/v1/invocations/{ID}/replay", json=wanted) as response:
        assert response.content_type == "text/event-stream"
        told = [event async for event in events(response)]
    names = [name for name, _ in told]
    assert (names[0], names[-2:]) == ("plan", ["trace", "comparison"])
    plan, compared = told[0][1], told[-1][1]
    assert plan["deployment"] == old["deployment"]
    assert (plan["active"], plan["mode"], plan["left_out"]) == (False, "callback", ["authorization"])
    assert plan["original"]["id"] == ID
    assert "request" not in plan["original"]
    assert compared["measures"]["status"] == {"before": 200, "after": 201}
    assert compared["measures"]["first_byte_ms"] == {"before": 30.0, "after": 12.5, "difference": -17.5}
    assert compared["body"] == "different"
    request = seen[0]
    assert (request.method, request.raw_path, request.host) == ("POST", "/@chat/a?b=%20", "chat.example")
    assert request.headers.getall("accept") == ["c"]
    assert request.headers["x-extra"] == "1"
    assert request.headers["content-type"] == "text/plain"
    assert "authorization" not in request.headers
    assert "user-agent" not in request.headers
    assert control.platform.minted == [("chat", "callback")]
    assert control.platform.deployments == [old["deployment"]]


async def test_what_is_not_said_is_as_it_was(control: Any, edge: Any) -> None:
    _, active = await control.deploy()
    await record(control, trace())

    async def answer(request: web.Request) -> web.Response:
        assert request.headers.getall("accept") == ["a", "b"]
        control.platform.feeds["ticket-1"].close()
        return web.Response()

    await edge(answer)
    async with control.session.post(f"/v1/invocations/{ID}/replay", json={"headers": {"Authorization": "x"}}) as got:
        told = [event async for event in events(got)]
    plan = told[0][1]
    assert (plan["deployment"], plan["active"], plan["mode"]) == (active["deployment"], True, "buffered")
    assert plan["left_out"] == [], "what was left out is given again"
    assert told[-1][0] == "end", "without a trace there is nothing to compare"
    assert control.platform.deployments == [None]


@pytest.mark.parametrize(
    ("other", "code"),
    [
        ({"function": ""}, "not_replayable"),
        ({"request": None}, "request_not_kept"),
        ({"mode": "2030"}, "mode_not_served"),
    ],
)
async def test_what_cannot_be_replayed_is_said(control: Any, other: dict[str, Any], code: str) -> None:
    await control.deploy()
    await record(control, trace(**other))
    assert await refused(control) == (409, code)
    assert control.platform.minted == []


async def test_a_body_that_was_not_kept_is_not_replaced_by_an_empty_one(control: Any) -> None:
    await control.deploy()
    await record(control, trace(body=None))
    status, body = await control.ask("POST", f"/v1/invocations/{ID}/replay", json={})
    assert (status, body["error"]["code"]) == (409, "body_not_kept")
    assert "64 KiB" in body["error"]["message"]


async def test_unknown_things_are_named(control: Any) -> None:
    assert await refused(control) == (404, "invocation_not_found")
    await record(control, trace())
    assert await refused(control) == (404, "function_not_found")
    await control.deploy()
    assert await refused(control, deployment="d_gone") == (404, "deployment_not_found")
    assert await refused(control, body="no") == (400, "invalid_input")
    assert await refused(control, headers={"Host": "x"}) == (400, "invalid_input")
    control.platform.live = [{"id": ID, "function": "chat"}]
    assert await refused(control) == (409, "still_running")


async def test_a_run_and_a_ticket_may_ask_for_a_deployment_too(control: Any) -> None:
    _, old = await control.deploy(app__py=b"app = 1\n")
    await control.deploy(app__py=b"app = 2\n")
    body = {"function": "chat", "mode": "callback", "deployment": old["deployment"]}
    assert (await control.ask("POST", "/v1/tickets", json=body))[0] == 200
    assert control.platform.deployments == [old["deployment"]]
    for path in ("/v1/tickets", "/v1/runs"):
        status, answer = await control.ask("POST", path, json=body | {"deployment": "d_gone"})
        assert (status, answer["error"]["code"]) == (404, "deployment_not_found")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({}, "same"),
        ({"answer": {"crc32": 8, "checked": 5}}, "different"),
        ({"bytes_out": 6}, "different"),
        ({"answer": None}, "unknown"),
    ],
)
def test_bodies_are_the_same_when_length_and_checksum_are(other: dict[str, Any], said: str) -> None:
    compared = comparison(trace(), trace(**other))
    assert compared["body"] == said


def test_a_measure_that_is_missing_has_no_difference() -> None:
    measures = comparison(trace(), trace(first_byte_ms=None))["measures"]
    assert measures["first_byte_ms"] == {"before": 30.0, "after": None}
    assert measures["total_ms"]["difference"] == 0


async def test_an_invocation_s_lines_are_found(control: Any) -> None:
    await control.deploy()
    for identity in (ID, AGAIN, ID):
        control.services.logs.append("chat", f"of {identity}", invocation=identity)
    path = f"/v1/functions/chat/logs?invocation={ID}"
    async with control.session.get(path) as response:
        assert (await response.text()).count(f"of {ID}") == 2
    status, _ = await control.ask("GET", path + "&follow=1")
    assert status == 400
