"""Runs: a real request through the public address, told event by event, made at most once."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

ID = "0123456789abcdefghjkmnpqrs"
Event = tuple[str, dict[str, Any]]


async def events(response: Any) -> AsyncIterator[Event]:
    while True:
        name = (await asyncio.wait_for(response.content.readline(), 30)).decode().strip()
        if not name:
            return
        data = json.loads((await response.content.readline()).decode().removeprefix("data: "))
        assert await response.content.readline() == b"\n"
        yield name.removeprefix("event: "), data


async def run(control: Any, **wanted: Any) -> list[Event]:
    body = {"function": "chat", "mode": "buffered"} | wanted
    async with control.session.post("/v1/runs", json=body) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        return [event async for event in events(response)]


async def test_a_run_is_told_from_its_first_frame_to_its_trace(control: Any, edge: Any) -> None:
    await control.deploy()
    seen: list[web.Request] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        assert await request.read() == "grüße".encode()
        control.platform.frame("ticket-1", "OPEN")
        response = web.StreamResponse(headers={"x-dialback-id": ID, "Set-Cookie": "a=1"})
        await response.prepare(request)
        await response.write("ö".encode()[:1])
        await response.write("ö".encode()[1:])
        trace = {"id": ID, "function": "chat", "received_at": 1.0}
        control.services.recorder.record(trace)
        control.platform.feeds["ticket-1"].queue.put_nowait(None)
        return response

    await edge(answer)
    told = await run(control, method="POST", path="/a//b?q=%20", headers={"X-Mine": "1"}, body="grüße")
    names = [name for name, _ in told]
    assert names[0] == "frame"
    assert told[0][1].items() >= {"hop": "link", "direction": "up", "type": "OPEN", "size": 10}.items()
    assert 0 <= told[0][1]["t_ms"] < 10_000
    head = dict(told)["head"]
    assert head["status"] == 200
    assert ["Set-Cookie", "a=1"] in head["headers"]
    assert "".join(data["text"] for name, data in told if name == "chunk") == "ö"
    assert sum(data["size"] for name, data in told if name == "chunk") == 2
    assert names[-2:] == ["end", "trace"]
    assert dict(told)["end"].items() >= {"ok": True, "error": None, "id": ID}.items()
    assert dict(told)["trace"]["id"] == ID
    request = seen[0]
    assert request.raw_path == "/@chat/a//b?q=%20"
    assert request.headers["x-dialback-run"] == "ticket-1"
    assert request.headers["X-Mine"] == "1"
    assert "Content-Type" not in request.headers
    assert control.platform.minted == [("chat", "buffered")]
    assert control.platform.feeds["ticket-1"].closed


async def test_a_redirect_is_shown_and_not_followed(control: Any, edge: Any) -> None:
    await control.deploy()

    async def answer(request: web.Request) -> web.Response:
        control.platform.feeds["ticket-1"].close()
        return web.Response(status=302, headers={"Location": "http://192.0.2.1/"})

    await edge(answer)
    told = dict(await run(control))
    assert told["head"]["status"] == 302
    assert told["end"]["ok"] is True
    assert told["end"]["id"] is None
    assert "trace" not in told


async def test_a_truncated_response_is_told_as_such(control: Any, edge: Any) -> None:
    await control.deploy()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100", "x-dialback-id": ID})
        await response.prepare(request)
        await response.write(b"ten bytes.")
        control.platform.live = [{"id": ID, "function": "chat"}]
        control.platform.feeds["ticket-1"].close()
        assert request.transport is not None
        request.transport.close()
        return response

    await edge(answer)
    told = dict(await run(control))
    assert told["end"].items() >= {"ok": False, "error": "the response was cut short"}.items()
    assert told["trace"] == {"id": ID, "function": "chat"}


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
async def test_a_connection_that_fails_is_not_tried_again(control: Any, edge: Any, method: str) -> None:
    await control.deploy()
    calls = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        control.platform.feeds["ticket-1"].close()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    await edge(answer)
    told = dict(await run(control, method=method))
    assert calls == 1
    assert told["end"]["ok"] is False
    assert told["end"]["error"].startswith("the request failed: ")


async def test_an_edge_that_is_not_there_is_told(control: Any) -> None:
    await control.deploy()
    control.platform.edge_url = "http://127.0.0.1:1"
    task = asyncio.create_task(run(control))
    async with asyncio.timeout(30):
        while "ticket-1" not in control.platform.feeds:
            await control.ask("GET", "/_dialback/health")
    control.platform.feeds["ticket-1"].close()
    told = dict(await task)
    assert "the request failed" in told["end"]["error"]


async def test_an_asker_who_leaves_ends_the_run(control: Any, edge: Any) -> None:
    await control.deploy()
    left = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return response

    await edge(answer)
    async with control.session.post("/v1/runs", json={"function": "chat", "mode": "callback"}) as response:
        async for name, _ in events(response):
            if name == "chunk":
                break
        response.close()
    await asyncio.wait_for(left.wait(), 30)
    async with asyncio.timeout(30):
        while not control.platform.feeds["ticket-1"].closed:
            await control.ask("GET", "/_dialback/health")


async def test_a_run_that_fails_inside_ends_without_an_end(
    control: Any, edge: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await control.deploy()

    async def answer(request: web.Request) -> web.Response:
        control.platform.feeds["ticket-1"].close()
        return web.Response(headers={"x-dialback-id": ID})

    async def fail(_: str) -> None:
        raise RuntimeError("the store broke")

    await edge(answer)
    monkeypatch.setattr(control.services.store, "invocation", fail)
    with pytest.raises(Exception, match=r"payload|Payload|closed|disconnect|TransferEncoding"):
        await run(control)


@pytest.mark.parametrize(
    "wanted",
    [
        {"path": "no-slash"},
        {"path": "/a b"},
        {"path": "/#fragment"},
        {"path": "/\r\nX: y"},
        {"path": "/" + "x" * 9000},
        {"headers": {"Host": "evil"}},
        {"headers": {"Content-Length": "5"}},
        {"headers": {"x-dialback-run": "mine"}},
        {"headers": {"Proxy-Authorization": "mine"}},
        {"headers": {"A B": "x"}},
        {"headers": {"A": "x\r\nB: y"}},
        {"headers": {f"h{n}": "x" for n in range(65)}},
        {"method": "TRACE"},
        {"method": "GET /evil"},
        {"body": 1},
    ],
)
async def test_a_request_that_no_client_may_send_is_refused(control: Any, wanted: dict[str, Any]) -> None:
    await control.deploy()
    status, _ = await control.ask("POST", "/v1/runs", json={"function": "chat", "mode": "callback"} | wanted)
    assert status == 400
    assert control.platform.minted == []
