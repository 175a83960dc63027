"""A control port that tells stories: the control API's shapes with scripted functions, for testing the page alone.

A story is a function name that says how its runs go; `Fake.stories` maps names to coroutines that send the events.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dialback_invoker
from aiohttp import web

PAGE = Path(dialback_invoker.__file__).parent / "page"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TOKEN = "dbc_test-token"
ID = "01jx4k7w3qv8n2m5r9t0y6z1ab"
Json = dict[str, Any]


@dataclass
class Run:
    """One POST /v1/runs: `request` as the page sent it, and its event stream."""

    request: Json
    response: web.StreamResponse
    started: float = field(default_factory=time.perf_counter)

    @property
    def now(self) -> float:
        """Milliseconds since the run began."""
        return (time.perf_counter() - self.started) * 1000

    async def send(self, event: str, **data: Any) -> None:
        await self.response.write(f"event: {event}\ndata: {json.dumps(data)}\n\n".encode())

    async def frame(self, hop: str, direction: str, type: str, size: int = 0) -> None:
        await self.send("frame", t_ms=self.now, hop=hop, direction=direction, type=type, size=size)

    async def chunk(self, text: str) -> None:
        await self.send("chunk", t_ms=self.now, size=len(text.encode()), text=text)

    async def end(self, ok: bool = True, error: str | None = None) -> None:
        await self.send("end", t_ms=self.now, ok=ok, error=error, id=ID)


Story = Callable[[Run], Awaitable[None]]


def streams(chunks: list[str], every: float, before: float = 0.03, status: int = 200) -> Story:
    """A function that makes `chunks`, one each `every` seconds, the first after `before` seconds."""

    async def story(run: Run) -> None:
        callback = run.request["mode"] == "callback"
        marks = [("received", 0.0)]
        times = []
        await run.frame("link", "up", "OPEN", 412)
        marks.append(("admitted", run.now))
        await run.frame("runtime", "up", "next", 1380)
        marks.append(("payload_handed", run.now))
        if callback:
            marks.append(("dialed_back", run.now))
            await run.frame("socket", "down", "OPEN", 61)
            marks.append(("token_accepted", run.now))
            await run.frame("socket", "up", "ACCEPT", 34)
        for index, text in enumerate(chunks):
            await asyncio.sleep(every if index else before)
            if not callback:
                continue
            if index == 0:
                marks.append(("head", run.now))
                for hop in ("socket", "link"):
                    await run.frame(hop, "down", "HEAD", 96)
                await run.send("head", t_ms=run.now, status=status, headers=[["content-type", "text/event-stream"]])
                marks.append(("first_byte", run.now))
            for hop in ("socket", "link"):
                await run.frame(hop, "down", "DATA", len(text))
            await run.chunk(text)
            times.append(run.now)
        if callback:
            marks.append(("last_byte", run.now))
            await run.frame("socket", "down", "END", 14)
            await run.frame("runtime", "down", "response", 44)
        else:
            whole = "".join(chunks)
            marks.append(("runtime_answered", run.now))
            await run.frame("runtime", "down", "response", len(whole))
            marks.append(("head", run.now))
            await run.frame("link", "down", "HEAD", 96)
            await run.send("head", t_ms=run.now, status=status, headers={"Content-Type": "text/event-stream"})
            marks.append(("first_byte", run.now))
            await run.frame("link", "down", "DATA", len(whole))
            await run.chunk(whole)
            times.append(run.now)
            marks.append(("last_byte", run.now))
        await run.frame("link", "down", "END", 14)
        marks.append(("end", run.now))
        await run.end()
        await run.send("trace", **trace(run, marks, times, status))

    return story


def trace(run: Run, marks: list[tuple[str, float]], times: list[float], status: int) -> Json:
    gaps = [b - a for a, b in zip(times, times[1:], strict=False)]
    bounds = [1, 2, 5, 10, 20, 50, 100, 200, 500]
    bins = [sum(low < gap <= high for gap in gaps) for low, high in zip([0, *bounds], bounds, strict=False)]
    mode = run.request["mode"]
    stamp = {"version": 1, "invocation": ID, "url": "ws://127.0.0.1:8082/callback/v1", "token": "db1_\u2026", "body": "none"}
    return invocation(run.request["function"], mode) | {
        "path": run.request["path"],
        "method": run.request["method"],
        "status": status,
        "chunks": len(times),
        "marks": [{"name": name, "t": t} for name, t in marks],
        "gaps": {
            "first": gaps[:3],
            "last": gaps[-3:],
            "histogram": [{"le_ms": bound, "count": count} for bound, count in zip(bounds, bins, strict=True)],
        },
        "blocked": {"client_ms": 0.0, "worker_ms": 0.2},
        "payload": {"version": "2.0", "rawPath": run.request["path"]} | ({"dialback": stamp} if mode == "callback" else {}),
        "frames": [{"t": t, "hop": "link", "direction": "down", "stream": 1, "type": "DATA", "size": 30} for t in times],
        "frames_dropped": 0,
    }


def invocation(function: str, mode: str = "callback", **other: Any) -> Json:
    return {
        "id": ID, "function": function, "deployment": "9f2c41d07be3", "mode": mode, "method": "GET", "path": "/", "cold": False,
        "received_at": time.time() - 4, "worker": "w_7q2m", "status": 200, "verdict": "ok", "cause": "function", "code": "--",
        "detail": "", "bytes_in": 0, "bytes_out": 412, "chunks": 12, "duration_ms": 1240.0, "first_byte_ms": 31.0,
    } | other  # fmt: skip


class Fake:
    """The control port. Change its lists before or while a page looks at it."""

    def __init__(self) -> None:
        self.stories: dict[str, Story] = {}
        self.invocations: list[Json] = []
        self.workers: list[Json] = []
        self.lines: list[Json] = []
        self.requests: list[Json] = []
        self.refusal: tuple[int, Json] | None = None
        self.health = "ready"

    def functions(self) -> list[Json]:
        return [
            {
                "name": name, "deployment": "9f2c41d07be3", "kind": "asgi", "entry": "app:app", "mode": "callback",
                "launcher": "process", "created_at": time.time(), "workers": 1, "in_flight": 0,
                "urls": [f"http://127.0.0.1:8080/@{name}/", f"http://{name}.localhost:8080/"],
            }
            for name in self.stories
        ]  # fmt: skip

    async def runs(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.requests.append(asked)
        if self.refusal:
            status, error = self.refusal
            return web.json_response({"error": error}, status=status)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            await self.stories[asked["function"]](Run(asked, response))
        except ConnectionResetError:
            pass  # the page pressed Stop
        return response

    def app(self) -> web.Application:
        app = web.Application(middlewares=[guard])
        page = {"Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff"}

        def answers(path: str, value: Callable[[], Json]) -> None:
            async def handle(_: web.Request) -> web.Response:
                return web.json_response(value())

            app.router.add_get(path, handle)

        async def logs(_: web.Request) -> web.Response:
            return web.Response(text="".join(json.dumps(line) + "\n" for line in self.lines))

        async def index(_: web.Request) -> web.StreamResponse:
            return web.FileResponse(PAGE / "index.html", headers=page)

        async def static(request: web.Request) -> web.StreamResponse:
            return web.FileResponse(PAGE / request.match_info["name"], headers=page)

        answers("/v1/functions", lambda: {"functions": self.functions()})
        answers("/v1/workers", lambda: {"workers": self.workers})
        answers("/v1/invocations", lambda: {"invocations": self.invocations})
        answers("/v1/platform", lambda: {"version": "0.1.0", "launcher": "process", "public_url": "http://127.0.0.1:8080"})
        answers("/_dialback/health", lambda: {"status": self.health})
        answers("/v1/invocations/{id}", self._last_trace)
        app.router.add_get("/v1/functions/{name}/logs", logs)
        app.router.add_post("/v1/runs", self.runs)
        app.router.add_get("/", index)
        app.router.add_get("/static/{name}", static)
        return app

    def _last_trace(self) -> Json:
        run = Run({"function": "clock", "mode": "callback", "method": "GET", "path": "/"}, web.StreamResponse())
        marks = [("received", 0.0), ("admitted", 0.4), ("head", 31.0), ("first_byte", 31.2), ("last_byte", 900.0), ("end", 901.0)]
        return trace(run, marks, [31.2, 400.0, 900.0], 200)


@web.middleware
async def guard(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    if request.path.startswith("/v1/") and request.headers.get("Authorization") != f"Bearer {TOKEN}":
        return web.json_response({"error": {"code": "unauthorized", "message": "The control token is wrong."}}, status=401)
    return await handler(request)


@asynccontextmanager
async def serve(fake: Fake) -> AsyncIterator[str]:
    """Serve on a free port of the loopback; yields the base URL."""
    runner = web.AppRunner(fake.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
