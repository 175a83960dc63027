"""A control port that tells stories: the control API's shapes with scripted functions, for testing the page alone.

A story is a function name that says how its runs go; `Fake.stories` maps names to coroutines that send the events.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

import dialback_invoker

from .stories import Json, Run, Story, invocation, trace

PAGE = Path(dialback_invoker.__file__).parent / "page"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TOKEN = "dbc_test-token"


class Fake:
    """The control port. Change its lists before or while a page looks at it."""

    def __init__(self) -> None:
        self.stories: dict[str, Story] = {}
        self.invocations: list[Json] = []
        self.workers: list[Json] = []
        self.lines: list[Json] = []
        """Give each the next `seq`."""
        self.live: list[Json] = []
        self.deployments: list[Json] = []
        self.traces: dict[str, Json] = {}
        self.replays: list[Json] = []
        self.replay: Story | None = None
        self.missed = 0
        """What `ended` and `log` say was missed."""
        self.watching = 0
        """How many event streams are open."""
        self._broken = 0
        self.requests: list[Json] = []
        self.refusal: tuple[int, Json] | None = None
        self.health = "ready"
        self.started = time.time()
        self.stopped = asyncio.Event()

    def functions(self) -> list[Json]:
        return [
            {
                "name": name,
                "deployment": "9f2c41d07be3",
                "kind": "asgi",
                "entry": "app:app",
                "mode": "callback",
                "launcher": "process",
                "created_at": self.started,
                "urls": [f"http://127.0.0.1:8080/@{name}/", f"http://{name}.localhost:8080/"],
                "workers": 1,
                "in_flight": 0,
            }
            for name in self.stories
        ]

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
        except (ConnectionResetError, asyncio.CancelledError):
            self.stopped.set()  # the page pressed Stop
            raise
        self.invocations.insert(
            0, invocation(asked["function"], asked["mode"], path=asked["path"], method=asked["method"])
        )
        return response

    def app(self) -> web.Application:
        app = web.Application(middlewares=[guard])
        page = {"Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff"}

        def answers(path: str, value: Callable[[], Json]) -> None:
            async def handle(_: web.Request) -> web.Response:
                return web.json_response(value())

            app.router.add_get(path, handle)

        async def logs(request: web.Request) -> web.Response:
            wanted = request.query.get("invocation")
            lines = [line for line in self.lines if not wanted or line["invocation"] == wanted]
            return web.Response(text="".join(json.dumps(line) + "\n" for line in lines))

        async def index(_: web.Request) -> web.StreamResponse:
            return web.FileResponse(PAGE / "index.html", headers=page)

        async def static(request: web.Request) -> web.StreamResponse:
            return web.FileResponse(PAGE / request.match_info["name"], headers=page)

        async def one(request: web.Request) -> web.Response:
            found = self.traces.get(request.match_info["id"]) or self._last_trace()
            return web.json_response(found)

        answers("/v1/invocations", lambda: {"invocations": self.invocations})
        answers("/v1/platform", self._platform)
        app.router.add_get("/v1/events", self.events)
        app.router.add_get("/v1/invocations/{id}", one)
        app.router.add_post("/v1/invocations/{id}/replay", self.replayed)
        app.router.add_get("/v1/functions/{name}/logs", logs)
        answers("/v1/functions/{name}/deployments", lambda: {"deployments": self.deployments})
        app.router.add_post("/v1/runs", self.runs)
        app.router.add_get("/", index)
        app.router.add_get("/static/{name}", static)
        return app

    def _platform(self) -> Json:
        facts = {"version": "0.1.0", "launcher": "process", "public_url": "http://127.0.0.1:8080"}
        return facts | {"status": self.health}

    async def events(self, request: web.Request) -> web.StreamResponse:
        """What the lists say, and what was added to them since, looked at 50 times a second."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        self.watching += 1
        try:
            await self._tell(Run({}, response))
        except ConnectionResetError:
            pass
        finally:
            self.watching -= 1
        return response

    def break_streams(self) -> None:
        """End the event streams as a broken network would: in the middle."""
        self._broken += 1

    async def _tell(self, told: Run) -> None:
        shown: Json = {}
        broken = self._broken
        ended = {one["id"]: one for one in self.invocations}
        count = len(self.lines)
        await told.send("recent", invocations=self.invocations, lines=self.lines)
        while broken == self._broken:
            now = {
                "platform": self._platform(),
                "live": {"count": len(self.live), "invocations": self.live},
                "functions": {"functions": self.functions()},
                "workers": {"workers": self.workers},
            }
            for name, data in now.items():
                if shown.get(name) != data:
                    shown[name] = json.loads(json.dumps(data))
                    await told.send(name, **data)
            new = [one for one in self.invocations if ended.get(one["id"]) != one]
            if new:
                ended |= {one["id"]: one for one in new}
                await told.send("ended", invocations=new[::-1], missed=self.missed)
            if len(self.lines) > count:
                await told.send("log", lines=self.lines[count:], missed=self.missed)
                count = len(self.lines)
            await asyncio.sleep(0.02)

    async def replayed(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.replays.append(asked)
        if self.refusal:
            status, error = self.refusal
            return web.json_response({"error": error}, status=status)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        assert self.replay is not None
        await self.replay(Run(asked | {"id": request.match_info["id"]}, response))
        return response

    def _last_trace(self) -> Json:
        run = Run({"function": "clock", "mode": "callback", "method": "GET", "path": "/"}, web.StreamResponse())
        marks = [
            ("received", 0.0),
            ("admitted", 0.4),
            ("head", 31.0),
            ("first_byte", 31.2),
            ("last_byte", 900.0),
            ("end", 901.0),
        ]
        return trace(run, marks, [31.2, 400.0, 900.0], 200)


@web.middleware
async def guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    if request.path.startswith("/v1/") and request.headers.get("Authorization") != f"Bearer {TOKEN}":
        return web.json_response(
            {"error": {"code": "unauthorized", "message": "The control token is wrong."}}, status=401
        )
    return await handler(request)


@asynccontextmanager
async def serve(fake: Fake) -> AsyncIterator[str]:
    """Serve on a free port of the loopback; yields the base URL."""
    runner = web.AppRunner(fake.app(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
