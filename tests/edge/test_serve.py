"""The edge as a process of its own: signals, and what it prints."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from edge_kit import PATIENCE, Client, get
from test_link import LinkServer

from dialback_edge.errors import SettingsError
from dialback_edge.service import serve
from dialback_edge.settings import EdgeSettings
from dialback_wire.messages import Verdict

PROGRAM = """
import asyncio, sys, uvloop
from dialback_edge.service import serve
from dialback_edge.settings import EdgeSettings

def ready(host, port):
    print(port, flush=True)

settings = EdgeSettings.model_validate_json(sys.argv[1])
sys.exit(0 if uvloop.run(serve(settings, ready)) else 3)
"""


class EdgeProcess:
    """A running edge."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port

    async def client(self, send: bytes) -> Client:
        client = await Client.connect(("127.0.0.1", self.port))
        await client.send(send)
        return client

    async def ended(self) -> int:
        return await asyncio.wait_for(self.process.wait(), PATIENCE)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LinkServer]:
    server = LinkServer()
    await server.listen(tmp_path / "link.sock")
    yield server
    server.close()


@pytest.fixture
async def edge(server: LinkServer, tmp_path: Path) -> AsyncIterator[EdgeProcess]:
    settings = {"port": 0, "link": {"path": str(tmp_path / "link.sock")}, "grace": 0.2, "timeouts": {"tick": 0.02}}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, json.dumps(settings), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 10)
    yield EdgeProcess(process, int(line))
    if process.returncode is None:
        process.kill()
        await process.wait()


async def test_the_first_signal_lets_answers_end(server: LinkServer, edge: EdgeProcess) -> None:
    client = await edge.client(get("/x?secret=1"))
    call = await server.invoker.call()
    call.head(200)
    await client.head()
    edge.process.send_signal(signal.SIGTERM)
    call.stream.write(b"end")
    call.stream.end(Verdict.OK)
    assert await client.rest() == b"3\r\nend\r\n0\r\n\r\n"
    client.close()
    assert await edge.ended() == 0
    assert edge.process.stdout is not None
    record = json.loads(await edge.process.stdout.read())
    assert (record["path"], record["code"], record["bytes_out"]) == ("/x", "--", 3)


async def test_what_outlasts_the_grace_makes_the_exit_code_say_so(server: LinkServer, edge: EdgeProcess) -> None:
    client = await edge.client(get())
    call = await server.invoker.call()
    call.head(200)
    await client.head()
    edge.process.send_signal(signal.SIGTERM)
    assert await client.rest() == b""
    client.close()
    assert await edge.ended() == 3


async def test_a_second_signal_stops_at_once(server: LinkServer, tmp_path: Path, edge: EdgeProcess) -> None:
    client = await edge.client(get())
    call = await server.invoker.call()
    call.head(200)
    await client.head()
    edge.process.send_signal(signal.SIGINT)
    edge.process.send_signal(signal.SIGTERM)
    assert await client.is_reset()
    client.close()
    await call.until(lambda: call.cancelled is not None or call.lost)
    assert await edge.ended() == 3


async def test_serve_in_this_process(server: LinkServer, tmp_path: Path) -> None:
    ready: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()
    settings = EdgeSettings.model_validate(
        {"port": 0, "link": {"path": tmp_path / "link.sock"}, "access_log": False, "timeouts": {"tick": 0.01}}
    )
    serving = asyncio.ensure_future(serve(settings, lambda host, port: ready.set_result((host, port))))
    client = await Client.connect(await asyncio.wait_for(ready, PATIENCE))
    await client.send(get("/_dialback/health"))
    assert (await client.answer()).status == 200
    signal.raise_signal(signal.SIGTERM)
    assert await client.rest() == b""
    assert await asyncio.wait_for(serving, PATIENCE) is True
    client.close()


async def test_a_second_signal_in_this_process(server: LinkServer, tmp_path: Path) -> None:
    ready: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()
    settings = EdgeSettings.model_validate({"port": 0, "link": {"path": tmp_path / "link.sock"}, "access_log": False})
    serving = asyncio.ensure_future(serve(settings, lambda host, port: ready.set_result((host, port))))
    client = await Client.connect(await asyncio.wait_for(ready, PATIENCE))
    await client.send(get())
    await server.invoker.call()
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(0.05)
    signal.raise_signal(signal.SIGINT)
    assert await asyncio.wait_for(serving, PATIENCE) is False
    assert await client.is_reset()
    client.close()


async def test_an_edge_without_a_link_does_not_start() -> None:
    with pytest.raises(SettingsError, match="link"):
        await serve(EdgeSettings(port=0))


async def test_a_key_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    settings = EdgeSettings.model_validate(
        {"port": 0, "link": {"host": "127.0.0.1", "port": 1, "key_file": tmp_path / "nothing"}}
    )
    with pytest.raises(SettingsError, match="nothing: No such file"):
        await serve(settings)
