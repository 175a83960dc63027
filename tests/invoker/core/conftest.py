"""Platforms in this process, on uvloop as in production; their workers are processes."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop

from dialback_invoker.settings import TcpAddress

from .node import Node
from .strings import Given, Puppet, Strings

PUPPET = (sys.executable, "-I", "-u", str(Path(__file__).with_name("puppet_worker.py")))


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], object]]:
    return {"uvloop": uvloop.new_event_loop}


class Stage(Node):
    """A platform whose workers are puppets."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(PUPPET, **settings)
        self.strings = Strings(self.root / "strings")

    async def start(self) -> "Stage":
        await self.strings.start()
        await super().start()
        return self

    async def stop(self) -> None:
        self.strings.cut()
        await super().stop()
        await self.strings.stop()

    async def deploy_puppet(self, name: str = "f", **config: Any) -> None:
        await self.deploy(name, env={"PUPPETEER": str(self.strings.path)}, **{"concurrency": 10, **config})

    async def puppet(self) -> Puppet:
        """The next worker that is started."""
        return await self.strings.puppet()

    async def invoked(self, path: str = "/@f/", *headers: str, method: str = "GET") -> tuple[Any, Puppet, Given]:
        """A client that waits, the first worker, and what it was given."""
        client = await self.client()
        client.get(path, *headers, method=method)
        puppet = await self.puppet()
        return client, puppet, await puppet.given()


@pytest.fixture
async def made(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[Node], Awaitable[Any]]]:
    """Starts a platform, and stops it after the test."""
    nodes: list[Node] = []

    async def start(node: Node) -> Node:
        nodes.append(node)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(node.root / "run"))
        return await node.start()

    yield start
    for node in nodes:
        await node.stop()


@pytest.fixture
async def stage(made: Callable[[Node], Awaitable[Any]]) -> Stage:
    """A platform with the function `f`, whose workers are puppets; its receiver takes WebSockets."""
    stage: Stage = await made(Stage(receiver=TcpAddress(host="127.0.0.1", port=0)))
    await stage.deploy_puppet()
    return stage


@pytest.fixture
async def local(made: Callable[[Node], Awaitable[Any]]) -> Stage:
    """The same, with the receiver on its Unix socket."""
    stage: Stage = await made(Stage())
    await stage.deploy_puppet()
    return stage


@pytest.fixture(params=["local", "stage"])
def either(request: pytest.FixtureRequest) -> Stage:
    """One after the other."""
    stage: Stage = request.getfixturevalue(request.param)
    return stage
