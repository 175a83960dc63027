"""A platform that only pretends: the control API and the public port, with the shapes of the real ones.

It runs on a loop in a thread of its own, so that commands can be run in-process and as real processes.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOKEN = "secret-of-the-control-port"
ID = "0123456789abcdefghjkmnpqrs"
SECRET = "ab" * 32

TRACE: dict[str, Any] = {
    "id": ID,
    "function": "chat",
    "deployment": "d1" * 16,
    "mode": "callback",
    "method": "GET",
    "path": "/@chat/tokens?n=40",
    "received_at": 1_700_000_000.25,
    "worker": "w_1",
    "cold": True,
    "status": 200,
    "verdict": "ok",
    "cause": "function",
    "code": "--",
    "detail": "",
    "bytes_in": 0,
    "bytes_out": 2048,
    "chunks": 40,
    "marks": [
        {"name": "received", "t": 0},
        {"name": "admitted", "t": 0.2},
        {"name": "queued", "t": 0.3},
        {"name": "worker_start", "t": 0.5},
        {"name": "worker_spawned", "t": 42.5},
        {"name": "worker_ready", "t": 130.5},
        {"name": "payload_handed", "t": 131.0},
        {"name": "dialed_back", "t": 139.0},
        {"name": "token_accepted", "t": 140.1},
        {"name": "head", "t": 180.0},
        {"name": "first_byte", "t": 181.0},
        {"name": "last_byte", "t": 1200.0},
        {"name": "end", "t": 1200.4},
        {"name": "runtime_answered", "t": 1201.0},
        {"name": "a_later_mark", "t": 600.0},
    ],
    "gaps": {
        "first": [25.1, 24.9, 25.0],
        "last": [25.2, 25.3, 180.0],
        "histogram": [
            {"le_ms": 1, "count": 0},
            {"le_ms": 10, "count": 2},
            {"le_ms": 50, "count": 36},
            {"le_ms": 100, "count": 0},
            {"le_ms": None, "count": 1},
        ],
    },
    "blocked": {"client_ms": 0.0, "worker_ms": 240.2},
    "payload": {"version": "2.0", "dialback": {"token": f"db1_r1_{ID}_{SECRET}", "url": "unix:///r.sock"}},
    "frames": [
        {"t": 131.0, "hop": "runtime", "direction": "down", "stream": None, "type": "PAYLOAD", "size": 812},
        {"t": 139.0, "hop": "socket", "direction": "up", "stream": 1, "type": "OPEN", "size": 130},
        {"t": 180.0, "hop": "socket", "direction": "up", "stream": 1, "type": "HEAD", "size": 64},
        {"t": 181.0, "hop": "link", "direction": "up", "stream": 7, "type": "DATA", "size": 51},
    ],
    "frames_dropped": 3,
}

FUNCTION: dict[str, Any] = {
    "name": "chat",
    "deployment": "d1" * 16,
    "kind": "asgi",
    "entry": "app:app",
    "mode": "callback",
    "launcher": "process",
    "created_at": 1_700_000_000.0,
    "urls": ["http://127.0.0.1:8080/@chat/", "http://chat.localhost:8080/"],
    "workers": 1,
    "in_flight": 2,
}


ENVIRONMENT = {
    "key": "ab" * 16,
    "python": "3.12.4",
    "source": "requirements.txt",
    "packages": {"rich": "14.0", "websockets": "12.0"},
    "size": 3 << 20,
}
DEPLOYMENTS: list[dict[str, Any]] = [
    {"deployment": "d_new", "name": "chat", "created_at": 2.0, "active": True, "running": True, "size": 2048,
     "environment": ENVIRONMENT},
    {"deployment": "d_mid", "name": "chat", "created_at": 1.0, "active": False, "running": True, "size": 2000,
     "environment": {"key": "cd" * 16, "python": None, "source": None, "packages": {}, "size": None}},
    {"deployment": "d_old", "name": "chat", "created_at": 1.0, "active": False, "running": False, "size": 0,
     "environment": None},
]  # fmt: skip
ROLLED_BACK = {
    "name": "chat", "deployment": "d_old", "kind": "asgi", "entry": "app:app",
    "urls": ["http://127.0.0.1:8080/@chat/"], "unchanged": False,
    "environment": {**ENVIRONMENT, "packages": {"a": "1"}},
}  # fmt: skip


def fault(status: int, code: str, message: str, **place: object) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message, **place}}, status=status)


@dataclass
class FakePlatform:
    control_url: str = ""
    public_url: str = ""
    functions: list[dict[str, Any]] = field(default_factory=lambda: [FUNCTION])
    trace: dict[str, Any] = field(default_factory=lambda: json.loads(json.dumps(TRACE)))
    deployments: list[dict[str, Any]] = field(default_factory=lambda: DEPLOYMENTS)
    rollbacks: list[tuple[str, str | None]] = field(default_factory=list)
    uploads: list[tuple[str, str, bytes]] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    answer: Callable[[web.Request], web.StreamResponse | None] = lambda request: None
    gate: threading.Event = field(default_factory=threading.Event)
    client_left: threading.Event = field(default_factory=threading.Event)
    slow_deploy: bool = False
    deploy_events: list[dict[str, Any]] = field(default_factory=list)
    log_lines: list[dict[str, Any]] = field(default_factory=list)
    tickets: dict[str, str] = field(default_factory=dict)
    replay: list[tuple[str, dict[str, Any]]] | None = None
    """The events of a replay; None: it is refused."""
    replays: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)

    def start(self) -> None:
        started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()

        async def serve() -> None:
            runners = []
            for app in (self._control(), self._public()):
                runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
                await runner.setup()
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                runners.append(runner)
            self.control_url, self.public_url = (f"http://127.0.0.1:{runner.addresses[0][1]}" for runner in runners)
            started.set()
            await self._stop.wait()
            for runner in runners:
                await runner.cleanup()

        def run() -> None:
            try:
                self._loop.run_until_complete(serve())
            finally:
                started.set()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        assert started.wait(30)
        assert self.public_url

    def stop(self) -> None:
        self.gate.set()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        self._loop.close()

    # the control API

    def _control(self) -> web.Application:
        @web.middleware
        async def guard(request: web.Request, handler: Any) -> web.StreamResponse:
            self.asked.append(f"{request.method} {request.path_qs}")
            if request.headers.get("authorization") != f"Bearer {TOKEN}":
                return fault(401, "unauthorized", "a control token is needed")
            return self.answer(request) or await handler(request)

        app = web.Application(middlewares=[guard], client_max_size=1 << 30)
        app.router.add_get("/v1/platform", self._platform)
        app.router.add_get("/v1/functions", self._functions)
        app.router.add_delete("/v1/functions/{name}", self._remove)
        app.router.add_post("/v1/functions/{name}/deployments", self._deploy)
        app.router.add_get("/v1/functions/{name}/deployments", self._deployments)
        app.router.add_get("/v1/deployments", self._deployments)
        app.router.add_post("/v1/functions/{name}/rollback", self._rollback)
        app.router.add_get("/v1/functions/{name}", self._one_function)
        app.router.add_get("/v1/functions/{name}/logs", self._logs)
        app.router.add_route("*", "/v1/functions/{name}/environment", self._environment)
        app.router.add_post("/v1/secrets/rotate", self._rotate)
        app.router.add_get("/v1/workers", self._workers)
        app.router.add_get("/v1/invocations", self._invocations)
        app.router.add_get("/v1/invocations/{id}", self._trace)
        app.router.add_post("/v1/invocations/{id}/replay", self._replay)
        app.router.add_post("/v1/tickets", self._ticket)
        return app

    async def _platform(self, _: web.Request) -> web.Response:
        return web.json_response({"version": "0.1.0", "public_url": self.public_url, "control_url": self.control_url})

    async def _functions(self, _: web.Request) -> web.Response:
        return web.json_response({"functions": self.functions})

    async def _one_function(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        found = [function for function in self.functions if function["name"] == name]
        return (
            web.json_response(found[0]) if found else fault(404, "function_not_found", f"there is no function {name}")
        )

    async def _remove(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in [function["name"] for function in self.functions]:
            return fault(404, "no_such_function", f"there is no function {name}")
        self.removed.append(name)
        return web.Response(status=204)

    async def _deploy(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        self.uploads.append((name, request.content_type, await request.read()))
        if self.slow_deploy:
            await asyncio.to_thread(self.gate.wait, 30)
        if self.deploy_events:
            return await self._lines(request)
        urls = [f"{self.public_url}/@{name}/", f"http://{name}.localhost/"]
        made = {"name": name, "deployment": "e" * 32, "kind": "asgi", "entry": "app:app", "urls": urls}
        return web.json_response(made | {"unchanged": False}, status=201)

    async def _lines(self, request: web.Request) -> web.StreamResponse:
        assert "application/x-ndjson" in request.headers["accept"]
        response = web.StreamResponse(headers={"content-type": "application/x-ndjson"})
        await response.prepare(request)
        for event in self.deploy_events:
            await response.write(json.dumps(event).encode() + b"\n")
        return response

    async def _rollback(self, request: web.Request) -> web.StreamResponse:
        self.rollbacks.append((request.match_info["name"], (await request.json())["deployment"]))
        return await self._lines(request) if self.deploy_events else web.json_response(ROLLED_BACK)

    async def _deployments(self, request: web.Request) -> web.Response:
        return web.json_response({"deployments": self.deployments})

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/x-ndjson"})
        await response.prepare(request)
        for line in self.log_lines:
            await response.write(json.dumps(line).encode() + b"\n")
        if "follow" in request.query:
            await self._until_left()
        return response

    async def _environment(self, request: web.Request) -> web.Response:
        if request.method == "PATCH":
            self.changes.append(await request.json())
        return web.json_response(self.environment | {"name": request.match_info["name"]})

    async def _rotate(self, _: web.Request) -> web.Response:
        return web.json_response({"secrets": 2})

    async def _workers(self, _: web.Request) -> web.Response:
        worker = {"id": "w_1", "function": "chat", "deployment": "d1", "state": "busy", "pid": 4242, "in_flight": 2}
        return web.json_response({"workers": [worker | {"served": 1234, "started_at": 1.0, "rss_bytes": 20 << 20}]})

    async def _invocations(self, _: web.Request) -> web.Response:
        keys = ("id", "function", "mode", "method", "path", "received_at", "worker", "bytes_out")
        return web.json_response({"invocations": [{key: TRACE[key] for key in keys} | {"verdict": None}]})

    async def _replay(self, request: web.Request) -> web.StreamResponse:
        self.replays.append((request.match_info["id"], await request.json()))
        if self.replay is None:
            return fault(409, "body_not_kept", "the body of this request was not kept")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for name, data in self.replay:
            await response.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())
        return response

    async def _trace(self, request: web.Request) -> web.Response:
        if request.match_info["id"] not in ("last", ID):
            return fault(404, "no_such_invocation", "there is no such invocation")
        return web.json_response(self.trace)

    async def _ticket(self, request: web.Request) -> web.Response:
        asked = await request.json()
        ticket = f"ticket-{len(self.tickets)}"
        self.tickets[ticket] = asked["mode"]
        return web.json_response({"ticket": ticket})

    # the public port

    def _public(self) -> web.Application:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/@{name}/{rest:.*}", self._function)
        return app

    async def _function(self, request: web.Request) -> web.StreamResponse:
        action = getattr(self, f"_do_{request.match_info['rest'] or 'hello'}", self._do_hello)
        response: web.StreamResponse = await action(request)
        return response

    async def _note(self, request: web.Request) -> None:
        target = request.raw_path
        self.requests.append((request.method, target, dict(request.headers), await request.read()))

    async def _begin(self, request: web.Request, status: int = 200) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={"x-dialback-id": ID, "content-type": "text/plain"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        return response

    async def _do_hello(self, request: web.Request) -> web.StreamResponse:
        await self._note(request)
        return web.Response(text="hello\n", headers={"x-dialback-id": ID, "X-Mixed": "a"})

    async def _do_binary(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=bytes(range(256)) * 4)

    async def _do_gated(self, request: web.Request) -> web.StreamResponse:
        response = await self._begin(request)
        await response.write(b"first\n")
        await asyncio.to_thread(self.gate.wait, 30)
        await response.write(b"second\n")
        return response

    async def _do_modes(self, request: web.Request) -> web.StreamResponse:
        await self._note(request)
        response = await self._begin(request)
        pieces = [b"chunk %d\n" % number for number in range(5)]
        if self.tickets.pop(request.headers["x-dialback-run"]) == "buffered":
            pieces = [b"".join(pieces)]
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(0)
        return response

    async def _do_short(self, request: web.Request) -> web.StreamResponse:
        response = await self._begin(request)
        await response.write(b"only this\n")
        assert request.transport is not None
        request.transport.close()
        return response

    async def _do_nothing(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _do_fail(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=502, text="broken\n", headers={"x-dialback-id": ID})

    async def _do_echo(self, request: web.Request) -> web.StreamResponse:
        response = await self._begin(request)
        async for data in request.content.iter_any():
            await response.write(data)
        return response

    async def _do_refuse(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=413, text="too large\n", headers={"connection": "close"})

    async def _do_endless(self, request: web.Request) -> web.StreamResponse:
        response = await self._begin(request)
        try:
            while True:
                await response.write(b"line\n" * 1000)
        except (ConnectionError, asyncio.CancelledError):
            self.client_left.set()
            raise

    async def _do_silent(self, request: web.Request) -> web.StreamResponse:
        response = await self._begin(request)
        await response.write(b"begun\n")
        await self._until_left()
        return response

    async def _until_left(self) -> None:
        try:
            await self._stop.wait()
        except asyncio.CancelledError:
            self.client_left.set()
            raise
