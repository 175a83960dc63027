"""What the control API answers."""

import asyncio
import io
import json
import re
import zipfile
from typing import Any

import pytest

from dialback_invoker.control.ports import WorkerFacts

ID = "0123456789abcdefghjkmnpqrs"


def trace(number: int, function: str = "chat") -> dict[str, Any]:
    marks = [{"name": "received", "t": 0.0}]
    return {"id": f"{number:026d}", "function": function, "received_at": float(number), "status": 200, "marks": marks}


async def test_deploy_list_look_and_remove(control: Any) -> None:
    status, made = await control.deploy()
    assert status == 201
    assert made["name"] == "chat"
    assert made["kind"] == "asgi"
    assert made["entry"] == "app:app"
    assert made["urls"] == ["http://127.0.0.1:1/@chat/", "http://chat.localhost:1/"]
    assert made["unchanged"] is False
    assert (await control.deploy())[1]["unchanged"] is True
    control.platform.running = [WorkerFacts("w_1", "chat", made["deployment"], "busy", 7, 3, 9, 1.0, None)]
    status, listed = await control.ask("GET", "/v1/functions")
    (one,) = listed["functions"]
    assert one.items() >= {"deployment": made["deployment"], "mode": "callback", "workers": 1, "in_flight": 3}.items()
    assert (await control.ask("GET", "/v1/functions/CHAT")) == (200, one)
    status, removed = await control.ask("DELETE", "/v1/functions/chat")
    assert (status, removed) == (200, {"name": "chat", "removed": True})
    for method, path in (("GET", "chat"), ("DELETE", "chat"), ("GET", "chat/deployments"), ("GET", "chat/logs")):
        status, body = await control.ask(method, f"/v1/functions/{path}")
        assert (status, body["error"]["code"]) == (404, "function_not_found")


async def test_a_zip_is_a_bundle_too_and_versions_are_listed(control: Any) -> None:
    await control.deploy()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("app.py", "app = 2\n")
    headers = {"Content-Type": "application/zip"}
    path = "/v1/functions/chat/deployments"
    status, made = await control.ask("POST", path, data=out.getvalue(), headers=headers)
    assert status == 201
    _, listed = await control.ask("GET", path)
    assert [one["active"] for one in listed["deployments"]] == [True, False]
    assert listed["deployments"][0]["deployment"] == made["deployment"]


async def test_a_refused_bundle_names_the_place_and_leaves_nothing(control: Any) -> None:
    status, body = await control.deploy(app__py=b"app = 1\n", dialback__toml=b"concurency = 3\n")
    assert status == 400
    error = body["error"]
    assert (error["file"], error["line"], error["source"]) == ("dialback.toml", 1, "concurency = 3")
    assert "did you mean 'concurrency'?" in error["message"]
    path = "/v1/functions/chat/deployments"
    status, _ = await control.ask("POST", path, data=b"{}", headers={"Content-Type": "application/json"})
    assert status == 415
    gzip = {"Content-Type": "application/gzip"}
    status, body = await control.ask("POST", path, data=b"x" * 100_001, headers=gzip)
    assert (status, body["error"]["code"]) == (413, "bundle_too_large")

    async def endless() -> Any:
        for _ in range(3):
            yield b"x" * 50_000

    status, body = await control.ask("POST", path, data=endless(), headers=gzip)
    assert (status, body["error"]["code"]) == (413, "bundle_too_large")
    assert list(control.data.bundles.iterdir()) == []


async def test_an_upload_that_finds_no_room_is_a_507(control: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(control.services.deployer, "upload_path", lambda: control.data.root / "missing" / "x")
    status, _ = await control.deploy()
    assert status == 500
    from dialback_invoker.control import deployments

    monkeypatch.setattr(deployments.Path, "open", lambda *_: full())
    status, body = await control.deploy()
    assert (status, body["error"]["code"]) == (507, "disk_full")


async def test_health_follows_the_state(control: Any) -> None:
    assert await control.ask("GET", "/_dialback/health") == (200, {"status": "ready"})
    control.platform.now = "draining"
    assert await control.ask("GET", "/_dialback/health") == (503, {"status": "draining"})


async def test_the_platform_tells_its_facts(control: Any) -> None:
    status, facts = await control.ask("GET", "/v1/platform")
    assert status == 200
    assert set(facts) == {
        "version", "public_url", "control_url", "launcher", "data_dir", "memory_enforcement", "started_at",
    }  # fmt: skip


async def test_workers_are_listed(control: Any) -> None:
    control.platform.running = [WorkerFacts("w_1", "chat", "d_1", "idle", None, 0, 2, 1.5, 1000)]
    _, listed = await control.ask("GET", "/v1/workers")
    assert listed["workers"] == [
        {"id": "w_1", "function": "chat", "deployment": "d_1", "state": "idle", "pid": None, "in_flight": 0,
         "served": 2, "started_at": 1.5, "rss_bytes": 1000}
    ]  # fmt: skip


async def test_invocations_that_ended_and_those_in_flight(control: Any) -> None:
    control.services.recorder.record(trace(1))
    control.services.recorder.record(trace(2, "other"))
    control.platform.live = [trace(3), trace(4, "other")]
    _, ended = await control.ask("GET", "/v1/invocations")
    assert [one["received_at"] for one in ended["invocations"]] == [2, 1]
    assert "marks" not in ended["invocations"][0]
    _, some = await control.ask("GET", "/v1/invocations?function=chat&limit=1")
    assert [one["received_at"] for one in some["invocations"]] == [1]
    _, live = await control.ask("GET", "/v1/invocations?live=1&function=CHAT")
    assert [one["received_at"] for one in live["invocations"]] == [3]
    assert "marks" not in live["invocations"][0]
    assert len((await control.ask("GET", "/v1/invocations?live=true"))[1]["invocations"]) == 2


async def test_one_invocation_by_id_or_the_last(control: Any) -> None:
    status, body = await control.ask("GET", "/v1/invocations/last")
    assert (status, body["error"]["message"]) == (404, "no invocation was recorded yet")
    control.services.recorder.record(trace(1))
    control.platform.live = [trace(3)]
    assert await control.ask("GET", "/v1/invocations/last") == (200, trace(1))
    assert await control.ask("GET", f"/v1/invocations/{trace(1)['id']}") == (200, trace(1))
    assert await control.ask("GET", f"/v1/invocations/{trace(3)['id']}") == (200, trace(3))
    for unknown in (ID, "nonsense", "%27%3B--"):
        assert (await control.ask("GET", f"/v1/invocations/{unknown}"))[0] == 404


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=1&limit=2", "nope=1", "live=maybe", "function=-v"])
async def test_a_wrong_query_is_a_400(control: Any, query: str) -> None:
    assert (await control.ask("GET", f"/v1/invocations?{query}"))[0] == 400


async def test_logs_are_a_json_object_a_line(control: Any) -> None:
    await control.deploy()
    control.services.logs.append("chat", "one\x1b[0m", worker="w_1", invocation=ID, at=1.0)
    control.services.logs.append("chat", "two", at=2.0)
    async with control.session.get("/v1/functions/chat/logs") as response:
        assert response.content_type == "application/x-ndjson"
        lines = [json.loads(line) for line in (await response.read()).splitlines()]
    assert lines[0] == {
        "at": 1.0, "function": "chat", "worker": "w_1", "invocation": ID, "stream": "stdout", "level": "INFO",
        "line": "one\\x1b[0m",
    }  # fmt: skip
    async with control.session.get("/v1/functions/chat/logs?since=1.5&limit=5") as response:
        assert len((await response.read()).splitlines()) == 1


async def test_followed_logs_come_as_they_are_written_until_the_asker_leaves(control: Any) -> None:
    await control.deploy()
    logs = control.services.logs
    logs.append("chat", "past")
    async with control.session.get("/v1/functions/chat/logs?follow=1") as response:
        assert response.headers["Cache-Control"] == "no-store"
        assert json.loads(await asyncio.wait_for(response.content.readline(), 30))["line"] == "past"
        logs.append("chat", "live")
        assert json.loads(await asyncio.wait_for(response.content.readline(), 30))["line"] == "live"
        response.close()
    async with asyncio.timeout(30):
        while logs._followers:  # the handler is cancelled when the connection is seen to be gone
            await asyncio.wait({asyncio.ensure_future(control.ask("GET", "/_dialback/health"))})


async def test_followed_logs_end_when_the_platform_stops(control: Any) -> None:
    await control.deploy()
    async with control.session.get("/v1/functions/chat/logs?follow=1") as response:
        control.services.logs.append("chat", "live")
        await asyncio.wait_for(response.content.readline(), 30)
        control.services.logs.append("chat", "last words")
        stopping = asyncio.create_task(control.server.stop())
        rest = await asyncio.wait_for(response.content.read(), 30)
        assert [json.loads(line)["line"] for line in rest.splitlines()] == ["last words"]
        await asyncio.wait_for(stopping, 30)


async def test_a_ticket_is_for_a_function_that_is_there(control: Any) -> None:
    wanted = {"function": "Chat", "mode": "buffered"}
    assert (await control.ask("POST", "/v1/tickets", json=wanted))[0] == 404
    await control.deploy()
    assert await control.ask("POST", "/v1/tickets", json=wanted) == (200, {"ticket": "ticket-1"})
    assert control.platform.minted == [("chat", "buffered")]
    assert (await control.ask("POST", "/v1/tickets", json=wanted | {"function": "../x"}))[0] == 400


async def test_the_page_may_talk_to_nobody_else(control: Any) -> None:
    control.session.headers.clear()
    async with control.session.get("/") as response:
        assert response.content_type == "text/html"
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    async with control.session.get("/static/app.js") as response:
        assert (response.content_type, await response.text()) == ("text/javascript", "1;")
    async with control.session.get("/static/dot.png") as response:
        assert (response.headers["Content-Type"], await response.read()) == ("image/png", b"png")
    for missing in ("style.css", ".hidden", "app.py", "UP.js"):
        assert (await control.ask("GET", f"/static/{missing}"))[0] == 404


async def test_the_documentation_is_sound_and_complete(control: Any) -> None:
    status, document = await control.ask("GET", "/openapi.json")
    assert (status, document["openapi"]) == (200, "3.1.0")
    schemas = document["components"]["schemas"]
    references = re.findall(r'"\$ref": "([^"]+)"', json.dumps(document))
    assert references
    assert {reference.removeprefix("#/components/schemas/") for reference in references} <= set(schemas)
    names = []
    for path, operations in document["paths"].items():
        for operation in operations.values():
            names.append(operation["operationId"])
            declared = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert declared == set(re.findall(r"{(\w+)}", path))
            assert all(answer["description"] for answer in operation["responses"].values())
            assert operation["security"] == ([] if path == "/_dialback/health" else [{"token": []}])
    assert len(names) == len(set(names)) >= 15
    assert "413" in document["paths"]["/v1/functions/{name}/deployments"]["post"]["responses"]
