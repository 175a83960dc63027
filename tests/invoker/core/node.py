"""A whole platform in this process, on free ports: edge, invoker, and whatever runs as worker."""

import asyncio
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from dialback.memory_link import MemoryLink
from dialback_edge.service import EdgeService
from dialback_edge.settings import EdgeSettings
from dialback_invoker.service import InvokerService
from dialback_invoker.settings import InvokerSettings, TcpAddress

PLAIN = b"""
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
    await send({"type": "http.response.body", "body": b"hi\\n"})
"""


class Node:
    """`start`, then use, then `stop`; each once."""

    def __init__(self, command: Sequence[str] | None = None, **settings: Any) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="db-", dir="/tmp"))
        run = self.root / "run"
        run.mkdir(mode=0o700)
        self.settings = InvokerSettings(
            data_dir=self.root / "data", control=TcpAddress(host="127.0.0.1", port=0), **settings
        )
        self._command = command
        self._connections: list[RawClient] = []
        self.invoker: InvokerService
        self.edge: EdgeService
        self.port = 0

    async def start(self) -> "Node":
        self.invoker = InvokerService(self.settings, worker_command=self._command)
        await self.invoker.start()
        self.edge = EdgeService(EdgeSettings(host="127.0.0.1", port=0), MemoryLink(self.invoker))
        _, self.port = await self.edge.start()
        self.invoker.public_url = self.url
        self.http = httpx.AsyncClient(base_url=self.url, timeout=60)
        self.control = httpx.AsyncClient(
            base_url=self.invoker.control_url,
            timeout=120,
            headers={"authorization": f"Bearer {self.invoker.control_token}"},
        )
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        for connection in self._connections:
            connection.close()
        if hasattr(self, "http"):
            await self.http.aclose()
            await self.control.aclose()
        if hasattr(self, "edge"):
            await self.edge.stop()
        if hasattr(self, "invoker"):
            await self.invoker.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    # --- use ----------------------------------------------------------------------------------------------------------

    async def deploy(self, name: str, code: bytes = PLAIN, *, env: dict[str, str] | None = None, **config: Any) -> None:
        answer = await self.try_deploy(name, code, env=env, **config)
        assert answer.status_code == 201, answer.text

    async def try_deploy(
        self, name: str, code: bytes = PLAIN, *, env: dict[str, str] | None = None, **config: Any
    ) -> httpx.Response:
        bundle = tarred({"app.py": code, "dialback.toml": toml(config | {"env": env or {}})})
        headers = {"content-type": "application/gzip"}
        return await self.control.post(f"/v1/functions/{name}/deployments", content=bundle, headers=headers)

    async def client(self) -> "RawClient":
        """A TCP connection to the public port."""
        connection = RawClient(*await asyncio.open_connection("127.0.0.1", self.port))
        self._connections.append(connection)
        return connection

    async def trace(self, invocation: str) -> dict[str, Any]:
        """The trace of an invocation, once it is over."""

        async def look() -> dict[str, Any] | None:
            answer = await self.control.get(f"/v1/invocations/{invocation}")
            trace = answer.json() if answer.status_code == 200 else {"verdict": "running"}
            return trace if trace["verdict"] != "running" else None

        return await eventually(look)

    async def workers(self) -> list[dict[str, Any]]:
        return list((await self.control.get("/v1/workers")).json()["workers"])


class RawClient:
    """A client that sees every byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.received = b""

    def get(self, path: str, *headers: str, method: str = "GET") -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]
        self.send("\r\n".join(lines).encode())

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def until(self, marker: bytes) -> bytes:
        """Everything so far, once `marker` is in it."""
        async with asyncio.timeout(30):
            while marker not in self.received:
                data = await self._reader.read(65536)
                assert data, f"closed before {marker!r}: {self.received[-300:]!r}"
                self.received += data
        return self.received

    async def swallow(self) -> int:
        """How many bytes come until the other side closes; none is kept."""
        size = 0
        async with asyncio.timeout(30):
            while data := await self._reader.read(1 << 20):
                size += len(data)
        return size

    async def rest(self) -> bytes:
        """Everything until the other side closes or resets."""
        async with asyncio.timeout(30):
            try:
                while data := await self._reader.read(65536):
                    self.received += data
            except ConnectionResetError:
                pass
        return self.received

    def close(self) -> None:
        self._writer.transport.abort()


async def eventually(look: Callable[[], Any], seconds: float = 30.0) -> Any:
    """What `look` (plain or async) finds, looked for at every turn of the loop until it is there."""
    async with asyncio.timeout(seconds):
        while True:
            found = look()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.005)


def tarred(files: dict[str, bytes]) -> bytes:
    """A bundle."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def toml(config: dict[str, Any]) -> bytes:
    """A dialback.toml."""
    plain = {key: value for key, value in config.items() if not isinstance(value, dict)}
    lines = [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
    for name, table in config.items():
        if isinstance(table, dict):
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines).encode()
