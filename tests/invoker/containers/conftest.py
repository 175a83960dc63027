"""The docker launcher against a real engine. Without one these tests are skipped, and fail where CI is set."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop
from tests.docker_engine import connect, needs_an_engine

from dialback_invoker.launchers.base import LogLine, WorkerSpec
from dialback_invoker.launchers.docker import DockerLauncher
from dialback_invoker.launchers.docker_container import PLATFORM_LABEL
from dialback_invoker.launchers.docker_engine import Engine
from dialback_invoker.launchers.docker_images import DEFAULT_IMAGE, WorkerImage, checkout
from dialback_invoker.launchers.docker_site import Site
from dialback_invoker.lease import Lease, Response
from dialback_invoker.pool import Pool
from dialback_invoker.worker import Worker

BOUND = 30.0
T = TypeVar("T")

# A function that does what it is told, so that tests can look at its surroundings from inside.
AGENT = """
import json, os, socket, subprocess, sys, threading, time

def handler(event, context):
    scope = {"context": context}
    try:
        exec(event["run"], globals(), scope)
    except Exception as error:
        return {"raised": type(error).__name__, "text": str(error)}
    return scope.get("result")
"""


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the invoker runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def client() -> Iterator[Any]:
    """The engine as another tool sees it."""
    needs_an_engine()
    found = connect()
    yield found
    found.close()


@pytest.fixture
def run_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="dbc-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def spec(run_dir: Path) -> WorkerSpec:
    bundle = run_dir / "bundle"
    bundle.mkdir(mode=0o700)
    (bundle / "app.py").write_text(AGENT)
    (bundle / "app.py").chmod(0o400)
    return WorkerSpec("agent", "d_1", bundle, "app:handler", kind="lambda", memory_mb=128)


@dataclass
class Containers:
    """A launcher, pools of its workers, and the engine from outside."""

    launcher: DockerLauncher
    spec: WorkerSpec
    client: Any
    lines: list[LogLine] = field(default_factory=list)
    pools: list[Pool] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def site(self) -> Site:
        return self.launcher.site

    def on_change(self, _: Worker) -> None:
        self.changed.set()

    def on_log(self, line: LogLine) -> None:
        self.lines.append(line)
        self.changed.set()

    def pool(self, *, max_workers: int = 4, concurrency: int = 1, idle_seconds: float = 60, **more: Any) -> Pool:
        spec = replace(self.spec, concurrency=concurrency, **more.pop("spec", {}))
        pool = Pool(
            spec,
            self.launcher,
            max_workers=max_workers,
            concurrency=concurrency,
            idle_seconds=idle_seconds,
            on_log=self.on_log,
            on_change=self.on_change,
            **{"start_seconds": BOUND, **more},
        )
        self.pools.append(pool)
        return pool

    async def until(self, happened: Callable[[], Any], seconds: float = BOUND) -> None:
        """Waits for a change after which it is true."""
        async with asyncio.timeout(seconds):
            while not happened():
                self.changed.clear()
                await self.changed.wait()

    async def lease(self, pool: Pool) -> Lease:
        return await within(pool.lease(lambda _: None))

    def hand(self, lease: Lease, code: str) -> None:
        event = json.dumps({"run": code}).encode()
        lease.hand_over(uuid.uuid4().hex[:26], event, int(time.time() * 1000) + 60_000, {})

    async def answer(self, lease: Lease) -> Any:
        return await within(asyncio.shield(lease.result))

    async def run(self, pool: Pool, code: str) -> Any:
        """What the code leaves in `result`, run inside a worker."""
        lease = await self.lease(pool)
        try:
            self.hand(lease, code)
            answer = await self.answer(lease)
        finally:
            lease.release()
        assert isinstance(answer, Response), answer
        return json.loads(answer.body)

    def found(self, **filters: Any) -> list[dict[str, Any]]:
        """Containers of this platform, as the engine lists them."""
        label = f"{PLATFORM_LABEL}={self.site.platform}"
        found: list[dict[str, Any]] = self.client.containers(all=True, filters={"label": label, **filters})
        return found

    def inspected(self) -> dict[str, Any]:
        """The one container there is."""
        (only,) = self.found()
        described: dict[str, Any] = self.client.inspect_container(only["Id"])
        return described

    def networks(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.networks(filters={"label": f"{PLATFORM_LABEL}={self.site.platform}"})
        return found


async def within(work: Awaitable[T], seconds: float = BOUND) -> T:
    async with asyncio.timeout(seconds):
        return await work


def make_site(run_dir: Path, platform: str, engine: Engine, image: str = DEFAULT_IMAGE) -> Site:
    async def receiver() -> Path:
        path = run_dir / "receiver.sock"
        path.touch()  # a file does: what matters here is that it is linked and mounted
        return path

    return Site(
        run_dir / "doors",
        platform=platform,
        receiver=receiver,
        engine=engine,
        image=WorkerImage(engine, image, checkout() if image == DEFAULT_IMAGE else None),
    )


@pytest.fixture
async def containers(client: Any, run_dir: Path, spec: WorkerSpec) -> AsyncIterator[Containers]:
    platform = f"test-{secrets.token_hex(4)}"
    site = make_site(run_dir, platform, Engine())
    made = Containers(DockerLauncher(site), spec, client)
    yield made
    for pool in made.pools:
        await within(pool.stop(0))
    await within(made.launcher.close())
    assert made.found() == []
    assert made.networks() == []
    assert not (run_dir / "doors").exists()
