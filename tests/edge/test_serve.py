"""The edge as a process of its own, as `dialback serve edge` runs it: signals, its log, its link."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from edge_kit import PATIENCE, Client, get
from test_link import KEY, LinkServer

from dialback import platform
from dialback.errors import StartProblem
from dialback.platform import run_edge
from dialback.ready import Ready
from dialback.settings import Settings, resolve
from dialback_wire.messages import Verdict

PROGRAM = """
import asyncio, sys, uvloop
from pathlib import Path
from dialback.platform import run_edge
from dialback.settings import resolve

def ready(said):
    print(said.public_url.rpartition(":")[2], flush=True)
    announced = asyncio.get_running_loop().create_future()
    announced.set_result(False)
    return announced

sys.exit(uvloop.run(run_edge(resolve({}, {}, Path(sys.argv[1])), ready)))
"""


def settings(folder: Path, *, top: str = "", edge: str = "", **flags: str) -> Settings:
    """The settings of an edge on a free port whose link is `link.sock` in the folder."""
    text = f'host = "127.0.0.1"\nport = 0\nlink = "unix:{folder}/link.sock"\n'
    text += f'link_key_file = "link.key"\ndata_dir = "data"\n{top}\n[edge]\n{edge}\n[edge.timeouts]\ntick = 0.02\n'
    (folder / "dialback-platform.toml").write_text(text)
    return resolve(flags, {}, folder)


class Announced:
    """What `ready` was told, and a future that is done."""

    def __init__(self) -> None:
        self.said: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self.done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.done.set_result(False)

    def __call__(self, said: Ready) -> asyncio.Future[bool]:
        self.said.set_result(said)
        return self.done

    async def client(self) -> Client:
        said = await asyncio.wait_for(self.said, PATIENCE)
        return await Client.connect(("127.0.0.1", int(said.public_url.rpartition(":")[2])))


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


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """A service ends with its signals ignored; this process goes on."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[LinkServer]:
    key = tmp_path / "link.key"
    key.write_bytes(KEY)
    key.chmod(0o600)
    server = LinkServer()
    server.key = KEY
    await server.listen(tmp_path / "link.sock")
    yield server
    server.close()


@pytest.fixture
async def edge(server: LinkServer, tmp_path: Path) -> AsyncIterator[EdgeProcess]:
    settings(tmp_path, top="drain_grace = 0.2")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(tmp_path), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 30)
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
    assert await edge.ended() == 1


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
    assert await edge.ended() == 1


async def test_a_stop_says_how_many_requests_it_waits_for(server: LinkServer, edge: EdgeProcess) -> None:
    clients = [await edge.client(get()) for _ in range(2)]
    for _ in clients:
        (await server.invoker.call()).head(200)
    for client in clients:
        await client.head()
    edge.process.send_signal(signal.SIGINT)
    assert await edge.ended() == 1
    assert edge.process.stderr is not None
    said = (await edge.process.stderr.read()).decode()
    assert said == "stopping: waiting for 2 requests to finish, 0.2 s at most; Ctrl-C again stops at once\n"
    for client in clients:
        client.close()


async def test_in_this_process(server: LinkServer, tmp_path: Path) -> None:
    ready = Announced()
    serving = asyncio.ensure_future(run_edge(settings(tmp_path, access_log="false"), ready))
    client = await ready.client()
    assert ready.said.result().link == "ready"
    await client.send(get("/_dialback/health"))
    assert (await client.answer()).status == 200
    signal.raise_signal(signal.SIGTERM)
    assert await client.rest() == b""
    assert await asyncio.wait_for(serving, PATIENCE) == 0
    client.close()


async def test_a_second_signal_in_this_process(server: LinkServer, tmp_path: Path) -> None:
    ready = Announced()
    serving = asyncio.ensure_future(run_edge(settings(tmp_path), ready))
    client = await ready.client()
    await client.send(get())
    await server.invoker.call()
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(0.05)
    signal.raise_signal(signal.SIGINT)
    assert await asyncio.wait_for(serving, PATIENCE) == 1
    assert await client.is_reset()
    client.close()


async def test_with_a_drain_delay_the_open_port_serves_while_its_health_says_503(
    server: LinkServer, tmp_path: Path
) -> None:
    ready = Announced()
    serving = asyncio.ensure_future(run_edge(settings(tmp_path, drain_delay="0.5"), ready))
    first = await ready.client()
    signal.raise_signal(signal.SIGTERM)
    assert await first.rest() == b""
    asking = await ready.client()
    await asking.send(get("/_dialback/health"))
    answer = await asking.answer()
    assert (answer.status, json.loads(answer.body)["status"]) == (503, "draining")
    late = await ready.client()
    await late.send(get())
    (await server.invoker.call()).answer(b"still")
    assert (await late.answer()).body == b"still"
    assert await asyncio.wait_for(serving, PATIENCE) == 0
    with pytest.raises(ConnectionRefusedError):
        await ready.client()
    for client in (first, asking, late):
        client.close()


async def test_a_link_that_cannot_be_made_is_said_in_the_ready_line_and_told_again_when_it_is_there(
    server: LinkServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = platform._link_settings(settings(tmp_path)).model_copy(update={"first_wait": 0.2})
    monkeypatch.setattr(platform, "_link_settings", lambda _: link)
    caplog.set_level("INFO", "dialback.edge.link")
    server.key = b"another key"
    ready = Announced()
    serving = asyncio.ensure_future(run_edge(settings(tmp_path), ready))
    client = await ready.client()
    assert ready.said.result().link == "connecting"
    assert ready.said.result().link_trouble == "the other side does not know the key of this link"
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"no link to the invoker at {tmp_path}/link.sock: {ready.said.result().link_trouble}"]
    await client.send(get())
    assert (await client.answer()).status == 503
    server.key = KEY
    async with asyncio.timeout(PATIENCE):
        while f"linked to the invoker at {tmp_path}/link.sock" not in caplog.text:
            await asyncio.sleep(0.02)
    signal.raise_signal(signal.SIGTERM)
    assert await asyncio.wait_for(serving, PATIENCE) == 0
    client.close()


async def test_a_key_that_is_not_there_stops_the_start_and_says_where_it_comes_from(tmp_path: Path) -> None:
    with pytest.raises(StartProblem, match=r"link\.key: No such file") as caught:
        await run_edge(settings(tmp_path), Announced())
    assert "copy link.key from its data folder, or name a copy with --link-key-file" in caught.value.hint


async def test_a_key_that_others_may_read_needs_no_such_hint(tmp_path: Path) -> None:
    (tmp_path / "link.key").write_bytes(KEY)
    (tmp_path / "link.key").chmod(0o644)
    with pytest.raises(StartProblem, match="others may read this key") as caught:
        await run_edge(settings(tmp_path), Announced())
    assert caught.value.hint == ""
