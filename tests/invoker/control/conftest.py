"""A control API on a free port, over a real store and deployer, with a small platform and a small edge behind it."""

import asyncio
import io
import tarfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from dialback_invoker.control.access import ControlToken
from dialback_invoker.control.app import create_app
from dialback_invoker.control.ports import Mode, PlatformFacts, RunFrame, Services, State, WorkerFacts
from dialback_invoker.control.server import ControlServer
from dialback_invoker.deploy.deployer import Deployer
from dialback_invoker.deploy.inspect import Inspected
from dialback_invoker.deploy.tree import BundleLimits
from dialback_invoker.deployment import Deployment
from dialback_invoker.function_config import FunctionConfig
from dialback_invoker.launchers.base import WorkerPython
from dialback_invoker.logs import LogBook
from dialback_invoker.paths import DataFolder
from dialback_invoker.recorder import Recorder
from dialback_invoker.registry import Registry
from dialback_invoker.secrets.book import NOTHING, Surroundings, VariableBook
from dialback_invoker.secrets.keys import KeyRing
from dialback_invoker.store.sqlite import SqliteStore
from dialback_invoker.watchers import Watchers


def bundle(**files: bytes) -> bytes:
    """A tar.gz; ``__`` in a name stands for a dot."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name.replace("__", "."))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


class Feed:
    """Frames that a test puts in."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[RunFrame | None] = asyncio.Queue()
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[RunFrame]:
        while (frame := await self.queue.get()) is not None:
            yield frame

    def close(self) -> None:
        self.closed = True
        self.queue.put_nowait(None)


class Platform:
    """Says what a test told it to say."""

    def __init__(self) -> None:
        self.now: State = "ready"
        self.edge_url = ""
        self.running: list[WorkerFacts] = []
        self.live: list[dict[str, Any]] = []
        self.minted: list[tuple[str, str]] = []
        self.deployments: list[str | None] = []
        self.feeds: dict[str, Feed] = {}
        self.version = "0.1.0"

    def state(self) -> State:
        return self.now

    def facts(self) -> PlatformFacts:
        return PlatformFacts(
            version=self.version, public_url="http://127.0.0.1:1", control_url="http://127.0.0.1:2", launcher="process",
            data_dir="/data", memory_enforcement="watch", started_at=1.0, edge_url=self.edge_url,
        )  # fmt: skip

    def urls(self, function: str) -> list[str]:
        return [f"http://127.0.0.1:1/@{function}/", f"http://{function}.localhost:1/"]

    def workers(self) -> list[WorkerFacts]:
        return self.running

    def in_flight(self) -> int:
        return len(self.live)

    def live_invocations(self, limit: int | None = None) -> list[dict[str, Any]]:
        return self.live[:limit]

    def live_invocation(self, invocation: str) -> dict[str, Any] | None:
        return next((trace for trace in self.live if trace["id"] == invocation), None)

    def mint_ticket(self, function: str, mode: Mode, deployment: Deployment | None = None) -> str:
        self.deployments.append(deployment.id if deployment is not None else None)
        self.minted.append((function, mode))
        return f"ticket-{len(self.minted)}"

    def subscribe_run(self, ticket: str) -> Feed:
        self.feeds[ticket] = Feed()
        return self.feeds[ticket]

    def frame(self, ticket: str, kind: str) -> None:
        self.feeds[ticket].queue.put_nowait(RunFrame(time.monotonic(), "link", "up", kind, 10))


class Inspector:
    async def inspect(
        self,
        folder: Path,
        config: FunctionConfig,
        python: WorkerPython | None = None,
        surroundings: Surroundings = NOTHING,
    ) -> Inspected:
        return Inspected("asgi", config.entry or "app:app")


class Control:
    """The running API and what stands behind it."""

    bundle = staticmethod(bundle)

    def __init__(self, services: Services, platform: Platform, url: str, token: str, data: DataFolder) -> None:
        self.server: ControlServer
        self.services = services
        self.platform = platform
        self.url = url
        self.token = token
        self.data = data
        self.session = aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {token}"})

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Status and parsed JSON."""
        async with self.session.request(method, path, **options) as response:
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert len(response.headers["x-dialback-id"]) == 26
            return response.status, await response.json()

    async def deploy(self, name: str = "chat", **files: bytes) -> tuple[int, Any]:
        data = bundle(**(files or {"app__py": b"app = 1\n"}))
        headers = {"Content-Type": "application/gzip"}
        return await self.ask("POST", f"/v1/functions/{name}/deployments", data=data, headers=headers)


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Control]:
    data = DataFolder(tmp_path / "data")
    data.create()
    page = tmp_path / "page"
    page.mkdir()
    (page / "index.html").write_text("<!doctype html><title>Dialback</title>")
    (page / "app.js").write_text("1;")
    (page / "dot.png").write_bytes(b"png")
    store = await SqliteStore.open(data.database)
    registry, platform = Registry(), Platform()
    limits = BundleLimits(packed=100_000)
    deployer = Deployer(data=data, store=store, registry=registry, inspector=Inspector(), limits=limits)
    recorder, logs = Recorder(store, pause=0, clock=lambda: 100.0), LogBook(store, pause=0)
    recorder.start()
    await logs.start()
    watchers = Watchers(most=3)
    logs.listen(watchers.line)
    book = VariableBook(store, KeyRing(data.secrets_key))
    services = Services(platform, deployer, registry, store, recorder, logs, watchers, book)
    token = await ControlToken.load(data.control_token, store)
    app = create_app(services, token, hosts=["control.example", "fd00::1"], page=page)
    server = ControlServer(app, "127.0.0.1", 0)
    port = await server.start()
    made = Control(services, platform, f"http://127.0.0.1:{port}", data.control_token.read_text().strip(), data)
    made.server = server
    yield made
    await made.session.close()
    await logs.close()
    await server.stop()
    await deployer.close()
    await recorder.close()
    await store.close()


@pytest.fixture
async def edge(control: Control) -> AsyncIterator[Callable[[Callable[[web.Request], Awaitable[Any]]], Awaitable[None]]]:
    """Starts an HTTP server that stands for the edge, with the handler that a test gives."""
    runners: list[web.AppRunner] = []

    async def start(handler: Callable[[web.Request], Awaitable[Any]]) -> None:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", handler)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        control.platform.edge_url = f"http://127.0.0.1:{runner.addresses[0][1]}/"

    yield start
    for runner in runners:
        await runner.cleanup()
