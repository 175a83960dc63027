"""Replays through edge, invoker and real workers: an older deployment answers what is asked of it, and then goes."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from dialback_invoker.deployment import Deployment
from dialback_invoker.pool import Pool

from .node import Node, eventually

Made = Callable[[Node], Awaitable[Any]]
CODE = b"""
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    body, more = b"", True
    while more:
        event = await receive()
        body, more = body + event["body"], event["more_body"]
    headers = dict(scope["headers"])
    said = headers.get(b"authorization", b"nobody") + b" " + scope["path"].encode() + b" " + body
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": VERSION + b" " + said})
"""


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    blocks = [block.splitlines() for block in text.split("\n\n") if "data: " in block]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


async def replayed(node: Node, identity: str, **wanted: Any) -> dict[str, Any]:
    """The events of a replay by name (of several the last), and the text of its body."""
    answer = await node.control.post(f"/v1/invocations/{identity}/replay", json=wanted)
    assert answer.status_code == 200, answer.text
    told = events(answer.text)
    return dict(told) | {"text": "".join(data["text"] for name, data in told if name == "chunk")}


@pytest.fixture
async def node(made: Made) -> Node:
    """Two deployments of f, old and new."""
    found: Node = await made(Node())
    await found.deploy("f", CODE.replace(b"VERSION", b'b"old"'))
    await found.deploy("f", CODE.replace(b"VERSION", b'b"new"'))
    return found


async def deployments(node: Node) -> tuple[str, str]:
    listed = (await node.control.get("/v1/functions/f/deployments")).json()["deployments"]
    return listed[1]["deployment"], listed[0]["deployment"]


async def test_an_older_deployment_answers_the_recorded_request(node: Node) -> None:
    old, new = await deployments(node)
    first = await node.http.post(
        "/@f/x?secret=1", content=b"\x00\xffbody", headers={"authorization": "hunter2", "x-kept": "1"}
    )
    assert first.content == b"new hunter2 /@f/x \x00\xffbody" or first.content.startswith(b"new hunter2")
    identity = first.headers["x-dialback-id"]
    trace = await node.trace(identity)
    assert "hunter2" not in json.dumps(trace)
    told = await replayed(node, identity, deployment=old)
    assert told["text"].startswith("old nobody")
    assert told["plan"]["left_out"] == ["authorization"]
    assert told["trace"]["deployment"] == old
    assert told["trace"]["mode"] == trace["mode"]
    assert told["comparison"]["body"] == "different"
    again = await replayed(node, identity, headers={"authorization": "hunter2"}, mode="buffered")
    assert again["trace"]["deployment"] == new
    assert again["trace"]["mode"] == "buffered"
    assert again["comparison"]["body"] == "same"
    assert (await node.http.get("/@f/")).text.startswith("new"), "requests without a ticket stay where they were"


async def test_the_workers_of_a_visited_deployment_go_with_the_next_activation(node: Node) -> None:
    old, _ = await deployments(node)
    identity = (await node.http.get("/@f/")).headers["x-dialback-id"]
    await node.trace(identity)
    assert (await replayed(node, identity, deployment=old))["text"].startswith("old")
    assert old in {worker["deployment"] for worker in await node.workers()}
    warm = await replayed(node, identity, deployment=old)
    assert warm["trace"]["cold"] is False, "a second replay finds the worker of the first"
    await node.deploy("f", CODE.replace(b"VERSION", b'b"newest"'))

    async def gone() -> bool:
        return old not in {worker["deployment"] for worker in await node.workers()}

    await eventually(gone)
    assert (await replayed(node, identity, deployment=old))["text"].startswith("old"), "and it may be visited again"
    assert (await node.control.delete("/v1/functions/f")).status_code == 200

    async def empty() -> bool:
        return not await node.workers()

    await eventually(empty)


async def test_a_request_that_named_its_function_by_host_does_so_again(node: Node) -> None:
    old, _ = await deployments(node)
    first = await node.http.get("/by/host?a=%2F", headers={"host": "f.localhost:99"})
    assert first.text == "new nobody /by/host "
    await node.trace(first.headers["x-dialback-id"])
    told = await replayed(node, first.headers["x-dialback-id"], deployment=old)
    assert told["text"] == "old nobody /by/host "
    assert told["trace"]["request"]["target"] == "/by/host?a=%2F"
    assert told["trace"]["request"]["authority"] == "f.localhost:99"
    other = await replayed(node, first.headers["x-dialback-id"], mode="tunnel")
    assert other["trace"]["mode"] == "tunnel"
    assert other["comparison"]["body"] == "same"


async def test_a_visit_that_ends_before_a_worker_was_found_begins_again(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = await deployments(node)
    identity = (await node.http.get("/@f/")).headers["x-dialback-id"]
    await node.trace(identity)
    pools, asked = node.invoker._pools, []

    def visit(deployment: Deployment) -> Pool:
        pool = pools.visit(deployment)
        asked.append(pool)
        if len(asked) == 1:
            pools.end_visits("f")
        return pool

    dispatch = node.invoker.dispatch
    monkeypatch.setattr(dispatch, "_around", replace(dispatch._around, visit=visit))
    told = await replayed(node, identity, deployment=old)
    assert told["trace"]["deployment"] == old
    assert len({id(pool) for pool in asked}) == 2


async def test_a_streamed_body_is_not_kept_a_short_one_is_and_none_where_none_is_wanted(node: Node) -> None:
    await node.deploy("quiet", CODE.replace(b"VERSION", b'b"q"'), record_bodies=False)
    answer = await node.http.post("/@quiet/", content=b"do not keep this", headers={"content-type": "text/plain"})
    assert answer.text.endswith("do not keep this")
    trace = await node.trace(answer.headers["x-dialback-id"])
    assert trace["request"]["body_kept"] is False
    assert "keep this" not in json.dumps(trace)
    for body, kept in ((b"x" * 65_536, True), (b"x" * 65_537, False)):
        answer = await node.http.post("/@f/", content=body)
        trace = await node.trace(answer.headers["x-dialback-id"])
        assert trace["request"]["body_kept"] is kept
        assert trace["request"]["body_bytes"] == len(body)
        refused = await node.control.post(f"/v1/invocations/{trace['id']}/replay", json={})
        assert refused.status_code == (200 if kept else 409)
