"""The invoker's end of the link: who gets in, and what a peer that misbehaves costs."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from dialback_invoker import link_server
from dialback_invoker.link_server import LinkServer
from dialback_wire.flow import Budget
from dialback_wire.messages import End, Head, Refusal, Request, Verdict
from dialback_wire.mux import Mux
from dialback_wire.proof import NONCE_BYTES
from dialback_wire.sink import BaseSink, StreamSink
from dialback_wire.stream import Stream
from dialback_wire.tables import Seat

KEY = b"a key that both know"
ASKED = Request("0" * 26, b"GET", b"/", b"a", (), b"http", b"1.1", b"127.0.0.1:1", 0)


class Asker(BaseSink):
    def __init__(self) -> None:
        self.over: asyncio.Future[End | int | str] = asyncio.get_running_loop().create_future()
        self.size = 0
        self.stream: Stream

    def on_data(self, data: bytes) -> None:
        self.size += len(data)
        self.stream.consumed(len(data))

    def on_end(self, end: End) -> None:
        self.over.set_result(end)

    def on_refuse(self, code: int, reason: str) -> None:
        self.over.set_result(code)

    def on_lost(self, why: str) -> None:
        self.over.set_result(why)


class Edge(asyncio.Protocol):
    """An edge played by the test."""

    def __init__(self, key: bytes | None = KEY, agent: str = "http://127.0.0.1:8080") -> None:
        self.ready = asyncio.Event()
        self.gone = asyncio.Event()
        self.went_away = asyncio.Event()
        nonce = os.urandom(NONCE_BYTES) if key is not None else b""
        self.mux = Mux(
            Seat.EDGE,
            write=self._write,
            defer=asyncio.get_running_loop().call_soon,
            on_ready=self.ready.set,
            on_going_away=lambda why: self.went_away.set(),
            key=key,
            nonce=nonce,
            agent=agent,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.mux.start()

    def data_received(self, data: bytes) -> None:
        try:
            self.mux.receive(data)
        except Exception:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.mux.lost("closed")
        self.gone.set()

    transport: asyncio.Transport

    def _write(self, data: bytes) -> None:
        self.transport.write(data)

    def ask(self) -> Asker:
        asker = Asker()
        asker.stream = self.mux.open_request(ASKED, asker)
        return asker


def answer(stream: Stream, opened: Request | bytes) -> StreamSink:
    stream.head(Head(200, ()))
    stream.write(b"x" * 4_000_000)
    stream.end(Verdict.OK)
    return BaseSink()


Connect = Callable[[Edge], Awaitable[Edge]]


@pytest.fixture
async def server() -> AsyncIterator[LinkServer]:
    made = LinkServer(answer, key=KEY, budget=Budget())
    yield made
    await made.close()


@pytest.fixture
async def connect(server: LinkServer) -> AsyncIterator[Connect]:
    host, port = await server.listen_tcp("127.0.0.1", 0)
    edges: list[Edge] = []

    async def connect(edge: Edge) -> Edge:
        edges.append(edge)
        await asyncio.get_running_loop().create_connection(lambda: edge, host, port)
        return edge

    yield connect
    for edge in edges:
        edge.transport.abort()


async def bounded(work: Awaitable[object]) -> object:
    return await asyncio.wait_for(work, 5)


async def test_an_edge_that_knows_the_key_asks_and_is_answered(server: LinkServer, connect: Connect) -> None:
    assert server.advertised == ""
    edge = await connect(Edge())
    await bounded(edge.ready.wait())
    asker = edge.ask()
    end = await bounded(asker.over)
    assert (end, asker.size) == (End(Verdict.OK, 4_000_000), 4_000_000)
    assert server.advertised == "http://127.0.0.1:8080"


@pytest.mark.parametrize("key", [b"another key", None])
async def test_an_edge_without_the_key_is_cut_off(server: LinkServer, connect: Connect, key: bytes | None) -> None:
    edge = await connect(Edge(key))
    await bounded(edge.gone.wait())
    assert not edge.ready.is_set()
    assert server.advertised == ""


async def test_garbage_is_cut_off_and_others_go_on(server: LinkServer, connect: Connect) -> None:
    good, bad = await connect(Edge()), await connect(Edge())
    await bounded(good.ready.wait())
    bad.transport.write(b"GET / HTTP/1.1\r\n\r\n" * 20)
    await bounded(bad.gone.wait())
    assert isinstance(await bounded(good.ask().over), End)


async def test_a_peer_that_says_nothing_is_cut_off(
    server: LinkServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_server, "GREETING_SECONDS", 0.05)
    silent = Edge()
    silent.mux.start = lambda: None  # type: ignore[method-assign]
    await connect(silent)
    await bounded(silent.gone.wait())


async def test_a_slow_edge_holds_its_stream_back(server: LinkServer, connect: Connect) -> None:
    edge = await connect(Edge())
    await bounded(edge.ready.wait())
    askers = [edge.ask() for _ in range(8)]
    edge.transport.pause_reading()
    await bounded(asyncio.to_thread(os.getpid))
    edge.transport.resume_reading()
    for asker in askers:
        assert isinstance(await bounded(asker.over), End)


async def test_going_away_lets_no_new_stream_in(server: LinkServer, connect: Connect) -> None:
    edge = await connect(Edge())
    await bounded(edge.ready.wait())
    server.go_away("stopping")
    await bounded(edge.went_away.wait())
    assert await bounded(edge.ask().over) == Refusal.UNAVAILABLE


async def test_going_away_lets_no_new_edge_in(server: LinkServer, connect: Connect) -> None:
    edge = await connect(Edge())
    await bounded(edge.ready.wait())
    assert isinstance(await bounded(edge.ask().over), End)
    server.go_away("stopping")
    host, port = edge.transport.get_extra_info("peername")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, port)
    await bounded(edge.went_away.wait())
    assert not edge.gone.is_set(), "streams that run go on"


async def test_closing_ends_every_link_and_the_streams_on_it(server: LinkServer, connect: Connect) -> None:
    edge = await connect(Edge())
    await bounded(edge.ready.wait())
    await server.close()
    await bounded(edge.gone.wait())


async def test_a_unix_socket_serves_too(tmp_path: Path, server: LinkServer) -> None:
    await server.listen_unix(str(tmp_path / "link"))
    edge = Edge(agent="an edge without an address")
    await asyncio.get_running_loop().create_unix_connection(lambda: edge, str(tmp_path / "link"))
    await bounded(edge.ready.wait())
    assert server.advertised == ""
    edge.transport.close()
    await bounded(edge.gone.wait())


async def test_a_stream_whose_opening_fails_is_its_own_failure(caplog: pytest.LogCaptureFixture) -> None:
    def fails(stream: Stream, opened: Request | bytes) -> StreamSink:
        raise RuntimeError("of our own making")

    server = LinkServer(fails, key=KEY, budget=Budget())
    host, port = await server.listen_tcp("127.0.0.1", 0)
    edge = Edge()
    await asyncio.get_running_loop().create_connection(lambda: edge, host, port)
    await bounded(edge.ready.wait())
    end = await bounded(edge.ask().over)
    assert isinstance(end, End)
    assert end.verdict is Verdict.ERROR
    assert "of our own making" in caplog.text
    edge.transport.abort()
    await server.close()
