"""The link over real sockets: greeting, proof, loss, redial, pings."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from edge_kit import PATIENCE, Changes, Client, Invoker, Records, get

from dialback_edge.errors import SettingsError, UpstreamUnavailable
from dialback_edge.link import LinkClient, read_key
from dialback_edge.service import EdgeService
from dialback_edge.settings import EdgeSettings, LinkSettings
from dialback_wire.errors import FramingError
from dialback_wire.messages import Request, Verdict
from dialback_wire.mux import Mux
from dialback_wire.proof import NONCE_BYTES
from dialback_wire.sink import BaseSink

KEY = b"a shared key"


class FarEnd(asyncio.Protocol):
    """One connection, on the invoker's side."""

    def __init__(self, server: "LinkServer") -> None:
        self.server = server
        self.silent = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport | object)
        self.transport: Any = transport
        key = self.server.key
        nonce = os.urandom(NONCE_BYTES) if key else b""
        self.mux: Mux = self.server.invoker.mux(self.write, key=key, nonce=nonce)
        if not self.server.mute:
            self.mux.start()
        self.server.connections.append(self)
        self.server.changed()

    def write(self, data: bytes) -> None:
        if not self.silent and not self.server.mute:
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        try:
            self.mux.receive(data)
        except FramingError:
            self.transport.abort()
        self.server.changed()

    def connection_lost(self, exc: Exception | None) -> None:
        self.mux.lost("lost")
        self.server.lost += 1
        self.server.changed()


class LinkServer(Changes):
    """What the edge dials."""

    def __init__(self) -> None:
        super().__init__()
        self.invoker = Invoker()
        self.key: bytes | None = None
        self.mute = False
        self.connections: list[FarEnd] = []
        self.lost = 0
        self.server: asyncio.Server | None = None

    async def listen(self, path: Path | None = None, port: int = 0) -> int:
        loop = asyncio.get_running_loop()
        if path is not None:
            self.server = await loop.create_unix_server(lambda: FarEnd(self), str(path))
            return 0
        self.server = await loop.create_server(lambda: FarEnd(self), "127.0.0.1", port)
        return int(self.server.sockets[0].getsockname()[1])

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
        for connection in self.connections:
            connection.transport.abort()


@pytest.fixture
async def server() -> AsyncIterator[LinkServer]:
    server = LinkServer()
    yield server
    server.close()


@pytest.fixture
async def link(server: LinkServer, tmp_path: Path) -> AsyncIterator[LinkClient]:
    """A link to `server` over a Unix socket, not started."""
    link = LinkClient(
        LinkSettings(path=tmp_path / "link.sock", backoff_min=0.01, backoff_max=0.02, first_wait=PATIENCE)
    )
    yield link
    await link.stop()


def request() -> Request:
    return Request("0" * 26, b"GET", b"/", b"h", (), b"http", b"1.1", b"p", 0)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "link.key"
    path.write_bytes(KEY + b"\n")
    path.chmod(0o600)
    return path


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.002)


async def test_a_request_goes_over_a_unix_socket(server: LinkServer, link: LinkClient, tmp_path: Path) -> None:
    await server.listen(tmp_path / "link.sock")
    await link.start()
    assert link.ready
    edge = EdgeService(EdgeSettings(port=0), link)
    client = await Client.connect(await edge.start())
    await client.send(get("/x"))
    (await server.invoker.call()).answer(b"over the wire" * 100_000)
    assert (await client.answer()).body == b"over the wire" * 100_000
    client.close()
    await edge.stop()


async def test_without_a_link_there_is_no_stream(link: LinkClient) -> None:
    with pytest.raises(UpstreamUnavailable):
        link.open(request(), BaseSink())
    assert not link.ready


async def test_the_first_link_is_waited_for_a_bounded_time(server: LinkServer, tmp_path: Path) -> None:
    path = tmp_path / "link.sock"
    link = LinkClient(LinkSettings(path=path, backoff_min=0.01, backoff_max=0.02, first_wait=0.05))
    await link.start()
    assert not link.ready
    assert "No such file" in link.last_error
    await server.listen(path)
    await until(lambda: link.ready)
    await link.stop()
    assert not link.ready


async def test_a_lost_link_fails_its_streams_and_is_dialled_again(
    server: LinkServer, link: LinkClient, tmp_path: Path
) -> None:
    await server.listen(tmp_path / "link.sock")
    await link.start()
    log = Records()
    edge = EdgeService(EdgeSettings(port=0), link, log)
    address = await edge.start()
    before, during = await Client.connect(address), await Client.connect(address)
    await before.send(get("/before"))
    await server.invoker.call()
    await during.send(get("/during"))
    call = await server.invoker.call()
    call.head(200)
    await during.head()
    server.connections[0].transport.abort()
    assert (await before.answer()).status == 502
    assert await during.rest() == b""
    await until(lambda: link.ready)
    assert len(server.connections) == 2
    await before.send(get("/again"))
    (await server.invoker.call()).answer(b"again")
    assert (await before.answer()).body == b"again"
    assert [call.request.target for call in server.invoker.calls] == [b"/before", b"/during", b"/again"]
    assert log.codes == ["IH", "ID", "--"]
    for client in (before, during):
        client.close()
    await edge.stop()


async def test_an_invoker_that_goes_away_keeps_its_streams_while_a_new_link_takes_over(
    server: LinkServer, link: LinkClient, tmp_path: Path
) -> None:
    await server.listen(tmp_path / "link.sock")
    await link.start()
    ended = asyncio.Event()

    class Sink(BaseSink):
        def on_end(self, end: object) -> None:
            ended.set()

    link.open(request(), Sink())
    call = await server.invoker.call()
    server.connections[0].mux.go_away("restart")
    await server.until(lambda: len(server.connections) == 2)
    await until(lambda: link.ready)
    link.open(request(), BaseSink())
    await server.invoker.call()
    call.answer(b"late")
    await asyncio.wait_for(ended.wait(), PATIENCE)
    await server.until(lambda: server.lost == 1)
    await until(lambda: not link._retired)
    assert link.ready


async def test_a_retired_link_is_closed_at_the_stop(server: LinkServer, link: LinkClient, tmp_path: Path) -> None:
    await server.listen(tmp_path / "link.sock")
    await link.start()
    lost = asyncio.Event()

    class Sink(BaseSink):
        def on_lost(self, why: str) -> None:
            lost.set()

    link.open(request(), Sink())
    await server.invoker.call()
    server.connections[0].mux.go_away("restart")
    await until(lambda: link._retired and link.ready)
    await link.stop()
    assert lost.is_set()
    await server.until(lambda: server.lost == 2)


async def test_a_used_up_link_is_replaced(server: LinkServer, link: LinkClient, tmp_path: Path) -> None:
    await server.listen(tmp_path / "link.sock")
    await link.start()
    assert link._current is not None
    from dialback_wire import frames

    link._current.mux._last_id = frames.MAX_STREAM
    with pytest.raises(UpstreamUnavailable):
        link.open(request(), BaseSink())
    await server.until(lambda: len(server.connections) == 2)
    await until(lambda: link.ready)
    link.open(request(), BaseSink())


async def test_tcp_with_a_key_that_both_know(server: LinkServer, key_file: Path) -> None:
    server.key = KEY
    port = await server.listen()
    link = LinkClient(LinkSettings(host="127.0.0.1", port=port, key_file=key_file))
    await link.start()
    assert link.ready
    await link.stop()


@pytest.mark.parametrize("theirs", [b"another key", None])
async def test_tcp_with_keys_that_differ_never_becomes_a_link(
    server: LinkServer, key_file: Path, theirs: bytes | None
) -> None:
    server.key = theirs
    port = await server.listen()
    link = LinkClient(LinkSettings(host="127.0.0.1", port=port, key_file=key_file, first_wait=0.1, backoff_max=0.05))
    await link.start()
    assert not link.ready
    assert server.invoker.calls == []
    await link.stop()


async def test_pings_notice_an_invoker_that_says_nothing(server: LinkServer, key_file: Path) -> None:
    server.key = KEY
    port = await server.listen()
    link = LinkClient(
        LinkSettings(
            host="127.0.0.1", port=port, key_file=key_file, ping_interval=0.03, backoff_min=0.01, backoff_max=0.02
        )
    )
    await link.start()
    first = link._current
    assert first is not None
    await asyncio.sleep(0.2)
    assert link._current is first
    server.connections[0].silent = True
    await server.until(lambda: len(server.connections) == 2)
    assert "2 pings were not answered" in first.why
    await until(lambda: link.ready)
    await link.stop()


async def test_an_invoker_that_does_not_greet_is_given_up(server: LinkServer, tmp_path: Path) -> None:
    server.mute = True
    path = tmp_path / "link.sock"
    await server.listen(path)
    link = LinkClient(LinkSettings(path=path, connect_timeout=0.1, first_wait=0.1, backoff_min=0.01, backoff_max=0.01))
    await link.start()
    assert not link.ready
    await server.until(lambda: len(server.connections) >= 2)
    assert link.last_error == "no answer within 0.1 s"
    server.mute = False
    await until(lambda: link.ready)
    await link.stop()


async def test_nonsense_on_the_link_closes_it(server: LinkServer, link: LinkClient, tmp_path: Path) -> None:
    await server.listen(tmp_path / "link.sock")
    await link.start()
    first = link._current
    assert first is not None
    server.connections[0].transport.write(b"\xff" * 100)
    await server.until(lambda: len(server.connections) == 2)
    assert first.why not in ("", "the invoker closed the link")
    first._write(b"a write to a closed link is no error")


async def test_a_link_that_is_full_holds_the_upload_back(server: LinkServer, link: LinkClient, tmp_path: Path) -> None:
    await server.listen(tmp_path / "link.sock")
    await link.start()
    connection = link._current
    assert connection is not None
    connection.pause_writing()
    stream = link.open(Request("0" * 26, b"PUT", b"/", b"h", (), b"http", b"1.1", b"p", 5), BaseSink())
    stream.write(b"hello")
    await asyncio.sleep(0.01)
    assert server.invoker.calls == []
    connection.resume_writing()
    call = await server.invoker.call()
    await call.until(lambda: call.body == b"hello")


async def test_an_error_of_a_sink_is_reported_and_ends_its_stream_alone(
    server: LinkServer, link: LinkClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await server.listen(tmp_path / "link.sock")
    await link.start()

    class Faulty(BaseSink):
        def on_head(self, head: object) -> None:
            raise RuntimeError("a bug")

    link.open(request(), Faulty())
    call = await server.invoker.call()
    call.answer(b"x")
    await call.until(lambda: call.closed or call.cancelled is not None)
    assert link.ready
    assert "a bug" in caplog.text
    assert call.stream.id == 1
    assert Verdict.OK == 0


def test_keys_are_read_from_private_files_only(tmp_path: Path, key_file: Path) -> None:
    assert read_key(key_file) == KEY
    key_file.chmod(0o640)
    with pytest.raises(SettingsError, match="others may read"):
        read_key(key_file)
    key_file.write_bytes(b" \n")
    key_file.chmod(0o600)
    with pytest.raises(SettingsError, match="empty"):
        read_key(key_file)
    with pytest.raises(SettingsError, match="No such file"):
        read_key(tmp_path / "nothing")
