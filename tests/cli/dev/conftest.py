"""`dialback dev` in this process, on free ports, its events in a list; and a screen that keeps what it is given."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop
from rich.console import Console

from dialback.dev.options import DevOptions, dev_settings
from dialback.dev.session import DevSession
from dialback.settings import resolve

BOUND = 30.0


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], object]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """A session ignores signals once it is over, because the process is its own; this one is not."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


class Dev:
    """One session and what it said."""

    def __init__(self, source: Path, data: Path, flags: Mapping[str, str] | None = None, **options: Any) -> None:
        self.source = source
        self.events: list[dict[str, Any]] = []
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        settings = resolve({"port": "0", "control_port": "0", "data_dir": str(data), **(flags or {})}, {}, data)
        made = DevOptions(source, options.pop("name", "fn"), events=True, **options)
        self.settings = dev_settings(settings, made, False)
        self.session = DevSession(self.settings, made, self._take)

    async def start(self) -> Dev:
        self.task = asyncio.create_task(self.session.main())
        await self.until("ready")
        self.http = httpx.AsyncClient(base_url=self.events[0]["public_url"], timeout=BOUND)
        return self

    async def stop(self) -> int:
        await self.http.aclose()
        os.kill(os.getpid(), signal.SIGINT)
        return await asyncio.wait_for(self.task, BOUND)

    def _take(self, data: bytes) -> None:
        self._loop.call_soon_threadsafe(self._said, data)

    def _said(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.events += [json.loads(line) for line in lines]
        self._changed.set()

    async def until(self, kind: str, seen: int = 0, **wanted: Any) -> dict[str, Any]:
        """The next event of that kind behind the first `seen` events."""
        until = self._loop.time() + BOUND
        while True:
            for event in self.events[seen:]:
                if event["event"] == kind and all(event.get(key) == value for key, value in wanted.items()):
                    return event
            self._changed.clear()
            waiting = asyncio.ensure_future(self._changed.wait())
            left = until - self._loop.time()
            await asyncio.wait([waiting, self.task], timeout=left, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if self.task.done() or left <= 0:
                ended = f"it ended: {self.task.result()}" if self.task.done() else f"no {kind}"
                raise AssertionError(f"{ended}; {self.events}")

    async def save(self, files: Mapping[str, str], kind: str = "running") -> dict[str, Any]:
        """Write them as careful editors do, and wait for what comes of it."""
        seen = len(self.events)
        root = self.source if self.source.is_dir() else self.source.parent
        saved = set()
        for name, text in files.items():
            path = self.source / name if self.source.is_dir() else self.source
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}.draft")
            draft.write_text(text)
            draft.replace(path)
            saved.add(str(path.relative_to(root)))
        while True:
            event = await self.until(kind, seen)
            if not saved.isdisjoint(event["files"]):
                return event
            seen = self.events.index(event, seen) + 1  # on a busy machine a draft is a save of its own


Begin = Callable[..., Any]


@pytest.fixture
async def dev(environment: Path, tmp_path: Path) -> AsyncIterator[Begin]:
    """Begins sessions; those that still run are stopped with the test."""
    begun: list[Dev] = []

    async def begin(files: Mapping[str, str], first: str = "running", **options: Any) -> Dev:
        source = tmp_path / "fn"
        for name, text in files.items():
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        session = Dev(source / options.pop("file", ""), environment, **options)
        begun.append(session)
        await session.start()
        await session.until(first)
        return session

    yield begin
    for session in begun:
        if not session.task.done():
            assert await session.stop() == 0


class Shown:
    """A screen that keeps what a person and what a program would see."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.events: list[dict[str, Any]] = []
        self._console = Console(width=160, color_system=None, highlight=False, markup=False, emoji=False)

    def show(self, thing: Any, event: Any = None) -> None:
        if thing is not None:
            with self._console.capture() as captured:
                self._console.print(thing, soft_wrap=True)
            self.lines += captured.get().splitlines()
        if event is not None:
            self.events.append(dict(event))


@pytest.fixture
def shown() -> Shown:
    return Shown()
