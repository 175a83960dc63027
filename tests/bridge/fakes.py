"""What stands in for the platform: a runtime API on a Unix socket; a receiver on WebSockets and on a Unix socket."""

import asyncio
import inspect
import json
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from dialback_bridge import log_capture, runtime_client
from dialback_bridge.callback_url import AllowList, Target
from dialback_bridge.entry import Entry, Kind
from dialback_bridge.handlers import make_handler
from dialback_bridge.handlers.threads import Threads
from dialback_bridge.invocation import Invocations
from dialback_bridge.receivers import Receivers
from dialback_bridge.worker import Worker
from dialback_wire import tokens
from dialback_wire.ids import new_id
from dialback_wire.messages import End, Fields, Head, Info, Invoke, Refusal
from dialback_wire.mux import Mux
from dialback_wire.sink import BaseSink
from dialback_wire.stream import Stream
from dialback_wire.tables import Seat

BOUND = 30.0
SECRET = "a-secret-of-this-worker"


class Changes:
    """Lets tests wait for a condition, with a bound and without sleeping."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def changed(self) -> None:
        self._event.set()

    async def until(self, condition: Callable[[], Any]) -> Any:
        async def loop() -> Any:
            while not (value := condition()):
                self._event.clear()
                await self._event.wait()
            return value

        return await asyncio.wait_for(loop(), BOUND)


@dataclass
class Outcome:
    """How the worker answered an invocation."""

    kind: str
    body: Any


class FakeRuntime:
    """The runtime API of one worker."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[tuple[str, bytes, dict[str, str]] | None] = asyncio.Queue()
        self.outcomes: dict[str, Outcome] = {}
        self.init_error: Any = None
        self.polls = 0
        self.most_polls = 0
        self.unauthorized = 0
        self.response_status = 202
        self.changes = Changes()
        self._runner: web.AppRunner | None = None

    async def start(self, path: str) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        base = "/2018-06-01/runtime"
        app.router.add_get(f"{base}/invocation/next", self._next)
        app.router.add_post(f"{base}/invocation/{{id}}/response", self._response)
        app.router.add_post(f"{base}/invocation/{{id}}/error", self._error)
        app.router.add_post(f"{base}/init/error", self._init_error)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.UnixSite(self._runner, path).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def hand_out(self, invocation: str, event: Any, **headers: str) -> None:
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        self.waiting.put_nowait((invocation, body, headers))

    def retire(self) -> None:
        for _ in range(16):
            self.waiting.put_nowait(None)

    async def outcome(self, invocation: str) -> Outcome:
        return await self.changes.until(lambda: self.outcomes.get(invocation))

    def _check(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {SECRET}":
            self.unauthorized += 1
            raise web.HTTPForbidden

    async def _next(self, request: web.Request) -> web.Response:
        self._check(request)
        self.polls += 1
        self.most_polls = max(self.most_polls, self.polls)
        self.changes.changed()
        try:
            item = await self.waiting.get()
        finally:
            self.polls -= 1
            self.changes.changed()
        if item is None:
            return web.Response(status=410)
        invocation, body, headers = item
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation,
            "Lambda-Runtime-Invoked-Function-Arn": "arn:x",
            **headers,
        }
        return web.Response(body=body, headers=headers, content_type="application/json")

    async def _response(self, request: web.Request) -> web.Response:
        self._check(request)
        body = await request.json()
        if self.response_status == 202:
            self._settle(request.match_info["id"], Outcome("response", body))
        return web.json_response({"status": "OK"}, status=self.response_status)

    async def _error(self, request: web.Request) -> web.Response:
        self._check(request)
        self._settle(request.match_info["id"], Outcome("error", await request.json()))
        return web.json_response({"status": "OK"}, status=202)

    async def _init_error(self, request: web.Request) -> web.Response:
        self._check(request)
        self.init_error = await request.json()
        self.changes.changed()
        return web.json_response({"status": "OK"}, status=202)

    def _settle(self, invocation: str, outcome: Outcome) -> None:
        assert invocation not in self.outcomes, "an invocation was answered twice"
        self.outcomes[invocation] = outcome
        self.changes.changed()


class Relay(BaseSink):
    """The receiver's end of one invocation."""

    def __init__(self, changes: Changes, body: bool) -> None:
        self.changes = changes
        self.has_body = body
        self.stream: Stream | None = None
        self.head: Head | None = None
        self.infos: list[Info] = []
        self.parts: list[bytes] = []
        self.trailers: Fields | None = None
        self.end: End | None = None
        self.whole = False
        """Whether all of the response came as one frame."""
        self.lost: str | None = None
        self.taking = True
        self.refuse_with: Refusal | None = None
        self.silent = False
        self.invited = False

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)

    def header(self, name: bytes) -> bytes | None:
        assert self.head is not None
        return dict(self.head.fields).get(name)

    def take_all(self) -> None:
        assert self.stream is not None
        self.taking = True
        self.stream.consumed(sum(map(len, self.parts)))

    def on_info(self, info: Info) -> None:
        self.infos.append(info)
        self.changes.changed()

    def on_head(self, head: Head) -> None:
        self.head = head
        self.changes.changed()

    def on_data(self, data: bytes) -> None:
        self.parts.append(data)
        if self.taking and self.stream is not None:
            self.stream.consumed(len(data))
        self.changes.changed()

    def on_credit(self) -> None:
        self.invited = True
        self.changes.changed()

    def on_trailers(self, fields: Fields) -> None:
        self.trailers = fields

    def on_end(self, end: End) -> None:
        self.end = end
        self.changes.changed()

    def on_answer(self, head: Head, body: bytes) -> None:
        self.whole = True
        super().on_answer(head, body)

    def on_lost(self, why: str) -> None:
        self.lost = why
        self.changes.changed()

    async def until(self, condition: Callable[[], Any]) -> Any:
        return await self.changes.until(condition)

    async def ended(self) -> End:
        return await self.until(lambda: self.end)


class FakeReceiver:
    """The wire protocol, seated as the invoker's receiver: on WebSockets over TCP, and bare on a Unix socket."""

    def __init__(self) -> None:
        self.relays: dict[bytes, Relay] = {}
        self.declined: list[str] = []
        self.done: list[str] = []
        self.changes = Changes()
        self.sockets = 0
        self.live: set[web.WebSocketResponse] = set()
        self.muxes: list[Mux] = []
        self.upgrades: list[dict[str, str]] = []
        self.upgrade_status = 101
        self.refused_upgrades = 0
        self.before_upgrade: asyncio.Event | None = None
        self.greets = True
        self._runner: web.AppRunner | None = None
        self._bare: asyncio.AbstractServer | None = None
        self._bare_tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self, path: str | None = None) -> None:
        app = web.Application()
        app.router.add_get("/callback/v1", self._socket)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        if path is not None:
            self._bare = await asyncio.start_unix_server(self._bare_socket, path)

    async def stop(self) -> None:
        if self._bare is not None:
            self._bare.close()
        for task in self._bare_tasks:
            task.cancel()
        for socket in list(self.live):
            await socket.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def expect(self, token: str, *, body: bool = False) -> Relay:
        relay = self.relays[token.encode()] = Relay(self.changes, body)
        return relay

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        self.upgrades.append(dict(request.headers))
        if self.before_upgrade is not None:
            await self.before_upgrade.wait()
        if self.upgrade_status != 101:
            self.refused_upgrades += 1
            return web.Response(status=self.upgrade_status, headers={"Location": "ws://127.0.0.1:9/"})
        socket = web.WebSocketResponse(protocols=["dialback.1"], compress=False, max_msg_size=0)
        await socket.prepare(request)
        self.sockets += 1
        self.live.add(socket)
        loop = asyncio.get_running_loop()
        outgoing: asyncio.Queue[bytes] = asyncio.Queue()

        async def send() -> None:
            while True:
                await socket.send_bytes(await outgoing.get())

        mux = Mux(
            Seat.INVOKER_RECEIVER,
            write=outgoing.put_nowait,
            defer=loop.call_soon,
            on_open=self._open,
            on_declined=self._told(self.declined),
            on_done=self._told(self.done),
            eager=False,
        )
        self.muxes.append(mux)
        sender = asyncio.ensure_future(send())
        if self.greets:
            mux.start()
        self.changes.changed()
        try:
            async for message in socket:
                assert message.type is WSMsgType.BINARY
                mux.receive(message.data)
        finally:
            sender.cancel()
            mux.lost("the socket closed")
            self.live.discard(socket)
            self.changes.changed()
        return socket

    async def _bare_socket(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._bare_tasks.add(task)
        self.sockets += 1
        mux = Mux(
            Seat.INVOKER_RECEIVER,
            write=writer.write,
            defer=asyncio.get_running_loop().call_soon,
            on_open=self._open,
            on_declined=self._told(self.declined),
            on_done=self._told(self.done),
            eager=False,
        )
        self.muxes.append(mux)
        mux.start()
        try:
            while data := await reader.read(65536):
                mux.receive(data)
        except (asyncio.CancelledError, OSError):
            pass
        finally:
            self._bare_tasks.discard(task)
            mux.lost("the socket closed")
            writer.close()
            self.changes.changed()

    def _told(self, heard: list[str]) -> Callable[[str], None]:
        def told(invocation: str) -> None:
            heard.append(invocation)
            self.changes.changed()

        return told

    def _open(self, stream: Stream, token: object) -> BaseSink:
        assert isinstance(token, bytes)
        relay = self.relays.get(token)
        if relay is None:
            stream.refuse(Refusal.UNAUTHORIZED, "unknown")
            return BaseSink()
        if relay.stream is not None:
            stream.refuse(Refusal.CONFLICT, "used")
            return BaseSink()
        relay.stream = stream
        if relay.refuse_with is not None:
            stream.refuse(relay.refuse_with, "refused")
        elif not relay.silent:
            stream.accept(b"resume", body=relay.has_body)
        self.changes.changed()
        return relay


def http_event(
    method: str = "GET",
    path: str = "/",
    *,
    query: str = "",
    headers: dict[str, str] | None = None,
    cookies: list[str] | None = None,
    body: str | None = None,
    is_base64: bool = False,
) -> dict[str, Any]:
    """A Function URL event, format 2.0."""
    event: dict[str, Any] = {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": "localhost:8080", "x-forwarded-proto": "http", **(headers or {})},
        "requestContext": {
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "10.1.2.3", "userAgent": "t"}
        },
        "isBase64Encoded": is_base64,
    }
    if cookies:
        event["cookies"] = cookies
    if body is not None:
        event["body"] = body
    return event


def without_lifespan(application: Any) -> Any:
    """`application` for requests alone."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http", "this application does not speak lifespan"
        await application(scope, receive, send)

    return serve


@dataclass
class Call:
    """One invocation under way."""

    id: str
    token: str
    relay: Relay
    runtime: FakeRuntime

    async def outcome(self) -> Outcome:
        return await self.runtime.outcome(self.id)

    async def verdict(self) -> str:
        """The verdict that the runtime API was told."""
        outcome = await self.outcome()
        assert outcome.kind == "response", outcome
        return str(outcome.body["dialback"]["verdict"])


@dataclass
class Platform:
    """A worker in this process, between a fake runtime API and a fake receiver."""

    folder: Path
    runtime: FakeRuntime
    receiver: FakeReceiver
    runtime_path: str
    receiver_path: str
    worker: Worker | None = None
    receivers: Receivers | None = None
    serving: "asyncio.Task[None] | None" = None
    now: float = 1_000_000.0
    local: bool = False
    """Whether payloads name the receiver's Unix socket, as those of workers on this machine do."""
    closers: list[Callable[[], Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        if self.local:
            return f"unix://{self.receiver_path}"
        return f"ws://127.0.0.1:{self.receiver.port}/callback/v1"

    def allow(self) -> tuple[Target, ...]:
        targets = [Target("unix", path=self.receiver_path)]
        if self.receiver.port:
            targets.append(Target("ws", "127.0.0.1", self.receiver.port))
        return tuple(targets)

    async def serve(
        self,
        target: Any,
        kind: Kind = Kind.ASGI,
        *,
        concurrency: int = 10,
        keep: bool = True,
        grace: float = 0.05,
        dial_timeout: float = 5.0,
        log: log_capture.LogSink | None = None,
    ) -> None:
        """Start a worker that serves `target`."""
        if kind is Kind.ASGI and inspect.isfunction(target):
            target = without_lifespan(target)
        threads = Threads(concurrency)
        handler = make_handler(Entry("test:target", kind, target), threads)
        await handler.start()
        runtime = runtime_client.connect(SECRET, self.runtime_path, None)
        self.receivers = Receivers(
            AllowList(self.allow()), keep=keep, dial_timeout=dial_timeout, clock=lambda: self.now
        )
        sink = log or log_capture.LogSink(None)
        self.worker = Worker(runtime, Invocations(runtime, self.receivers, handler, sink, grace), concurrency)
        self.receivers.on_invoke = self.worker.take
        self.serving = asyncio.ensure_future(self.worker.serve())
        self.closers += [handler.stop, self.receivers.close, runtime.close, threads.close]

    def invoke(
        self,
        event: dict[str, Any] | None = None,
        *,
        body: str | None = None,
        url: str | None = None,
        token: str | None = None,
        tunnel: Mux | None = None,
        **headers: str,
    ) -> Call:
        """Hand a stamped event to the worker: by a poll, or over the socket whose receiving end is `tunnel`."""
        seed = len(self.runtime.outcomes) + len(self.receiver.relays)
        invocation = new_id(b"%026d" % seed)
        if token is None:
            token = tokens.mint("r1", invocation, seed.to_bytes(32, "big"))[0].decode()
        event = event or http_event()
        where = body or ("inline" if event.get("body") else "none")
        relay = self.receiver.expect(token, body=where == "stream")
        event["dialback"] = {
            "version": 1,
            "invocation": invocation,
            "url": self.url if url is None else url,
            "token": token,
            "body": where,
            "body_length": None,
            "root_path": "",
        }
        if tunnel is None:
            self.runtime.hand_out(invocation, event, **headers)
        else:
            tunnel.invoke(Invoke(invocation, 0, json.dumps(event).encode()))
        return Call(invocation, token, relay, self.runtime)

    async def invoke_buffered(self, event: Any, invocation: str = "plain", **headers: str) -> Outcome:
        """Hand out an event without a callback, and wait for its answer."""
        self.runtime.hand_out(invocation, event, **headers)
        return await self.runtime.outcome(invocation)

    async def close(self) -> None:
        if self.serving is not None and not self.serving.done():
            self.runtime.retire()
            await asyncio.wait_for(self.serving, BOUND)
        for closer in self.closers:
            result = closer()
            if result is not None:
                await result


@asynccontextmanager
async def platform() -> AsyncIterator[Platform]:
    """A platform in a folder with a short name, as Unix sockets need."""
    with tempfile.TemporaryDirectory(prefix="db") as name:
        folder = Path(name)
        runtime, receiver = FakeRuntime(), FakeReceiver()
        made = Platform(folder, runtime, receiver, str(folder / "runtime"), str(folder / "receiver"))
        await runtime.start(made.runtime_path)
        await receiver.start(made.receiver_path)
        try:
            yield made
            await made.close()
        finally:
            if made.serving is not None:
                made.serving.cancel()
            await receiver.stop()
            await runtime.stop()
