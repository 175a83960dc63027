"""Real workers for the tests of launcher and pool: the stand-in program, started as the bridge would be."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop

from dialback_invoker.launchers.base import LogLine, WorkerControl, WorkerSpec
from dialback_invoker.launchers.process import ProcessLauncher
from dialback_invoker.lease import Answer, Lease
from dialback_invoker.pool import Pool
from dialback_invoker.worker import Worker

STANDIN = (sys.executable, "-P", "-s", "-u", str(Path(__file__).parent / "standin.py"))
BOUND = 30.0


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the invoker runs on; the sweep's tests start a platform on asyncio's own."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """Short: socket paths have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="dbk-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def spec(tmp_path: Path) -> WorkerSpec:
    bundle = tmp_path / "bundle"
    (bundle / "package").mkdir(parents=True)
    (bundle / "app.py").write_text("app = None\n")
    (bundle / "package" / "part.py").write_text("part = 1\n")
    (bundle / "app.py").chmod(0o400)
    (bundle / "package").chmod(0o500)
    return WorkerSpec("hello", "d1", bundle, "serve", concurrency=1)


@pytest.fixture
async def launcher(run_dir: Path) -> AsyncIterator[ProcessLauncher]:
    made = ProcessLauncher(run_dir, command=STANDIN)
    yield made
    await made.close()


@dataclass
class Platform:
    """A pool with what tests want to know of it."""

    launcher: ProcessLauncher
    spec: WorkerSpec
    lines: list[LogLine] = field(default_factory=list)
    states: list[tuple[str, str]] = field(default_factory=list)
    pools: list[Pool] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def on_change(self, worker: Worker) -> None:
        self.states.append((worker.id, worker.state.value))
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
            **more,
        )
        self.pools.append(pool)
        return pool

    async def until(self, happened: Callable[[], Any]) -> None:
        """Waits for a change after which it is true."""
        async with asyncio.timeout(BOUND):
            while not happened():
                self.changed.clear()
                await self.changed.wait()

    async def take(self, pool: Pool) -> Lease:
        """A lease whose marks count as changes."""
        return await within(pool.lease(lambda _: self.changed.set()))

    def hand(self, lease: Lease, **command: Any) -> str:
        name = uuid.uuid4().hex[:26]
        lease.hand_over(name, json.dumps(command).encode(), int(time.time() * 1000) + 60_000, {})
        return name

    async def ask(self, lease: Lease, **command: Any) -> Answer:
        """Hands a command over and waits for the answer."""
        self.hand(lease, **command)
        return await within(asyncio.shield(lease.result))

    async def call(self, pool: Pool, **command: Any) -> Any:
        """One whole invocation, its answer as a value."""
        lease = await self.take(pool)
        try:
            answer = await self.ask(lease, **command)
        finally:
            lease.release()
        return json.loads(answer.body)  # type: ignore[union-attr]


T = TypeVar("T")


async def within(work: Awaitable[T], seconds: float = BOUND) -> T:
    async with asyncio.timeout(seconds):
        return await work


@pytest.fixture
async def platform(launcher: ProcessLauncher, spec: WorkerSpec) -> AsyncIterator[Platform]:
    made = Platform(launcher, spec)
    yield made
    for pool in made.pools:
        await within(pool.stop(0))


@pytest.fixture
def control() -> Callable[..., WorkerControl]:
    """What a launcher is given, with nobody behind it."""

    def make(worker_id: str = "w_1", lines: list[LogLine] | None = None) -> WorkerControl:
        sink = lines if lines is not None else []
        return WorkerControl(worker_id, "secret", None, sink.append)  # type: ignore[arg-type]

    return make


def alive(pid: int) -> bool:
    """Whether a process runs: one that is dead and waits for its parent does not."""
    from dialback_invoker.launchers import proc

    process = proc.look(pid)
    return process is not None and not process.zombie


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))
