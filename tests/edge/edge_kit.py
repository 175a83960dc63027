"""A front with an invoker played by the test, and a client that works on the bytes."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

from dialback_edge.access_log import AccessRecord
from dialback_edge.errors import UpstreamUnavailable
from dialback_edge.hooks import Hooks
from dialback_edge.service import EdgeService
from dialback_edge.settings import EdgeSettings
from dialback_wire.memory import join
from dialback_wire.messages import End, Fields, Head, Limits, Reason, Request, Verdict
from dialback_wire.mux import Mux
from dialback_wire.sink import BaseSink, StreamSink
from dialback_wire.stream import Stream
from dialback_wire.tables import Seat

PATIENCE = 30.0


class Changes:
    """Lets a test wait until something about an object is true."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Event] = []

    def changed(self) -> None:
        for event in self._waiters:
            event.set()

    async def until(self, true: Callable[[], object], seconds: float = PATIENCE) -> None:
        event = asyncio.Event()
        self._waiters.append(event)
        try:
            async with asyncio.timeout(seconds):
                while not true():
                    await event.wait()
                    event.clear()
        finally:
            self._waiters.remove(event)


class Call(BaseSink, Changes):
    """One request, as the invoker gets it."""

    def __init__(self, stream: Stream, request: Request, reads: bool) -> None:
        super().__init__()
        self.stream = stream
        self.request = request
        self.reads = reads
        self.body = bytearray()
        self.unread = 0
        self.body_end: End | None = None
        self.cancelled: Reason | None = None
        self.closed = False
        self.lost = ""
        self.when_whole: Callable[[Call], None] | None = None

    def on_data(self, data: bytes) -> None:
        self.body += data
        if self.reads:
            self.stream.consumed(len(data))
        else:
            self.unread += len(data)
        self.changed()

    def read_on(self) -> None:
        self.reads = True
        unread, self.unread = self.unread, 0
        self.stream.consumed(unread)

    def on_end(self, end: End) -> None:
        self.body_end = end
        if self.when_whole is not None:
            self.when_whole(self)
        self.changed()

    def on_cancel(self, reason: Reason, detail: str) -> None:
        self.cancelled = reason
        self.stream.end(Verdict.CANCELLED)
        self.changed()

    def on_sent(self, count: int) -> None:
        self.changed()

    def on_closed(self) -> None:
        self.closed = True
        self.changed()

    def on_lost(self, why: str) -> None:
        self.lost = why
        self.changed()

    def header(self, name: bytes) -> bytes | None:
        found = [value for key, value in self.request.fields if key == name]
        assert len(found) < 2, found
        return found[0] if found else None

    def head(self, status: int = 200, *fields: tuple[bytes, bytes]) -> None:
        self.stream.head(Head(status, fields))

    def answer(self, body: bytes = b"", status: int = 200, *fields: tuple[bytes, bytes]) -> None:
        self.stream.head(Head(status, (*fields, (b"content-length", b"%d" % len(body)))))
        self.stream.write(body)
        self.stream.end(Verdict.OK)


class Invoker(Changes):
    """The other side of a link, played by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.reads = True
        self.handler: Callable[[Call], None] | None = None
        """Answers each request when it is complete."""
        self._taken = 0

    def opened(self, stream: Stream, opened: Request | bytes) -> StreamSink:
        assert isinstance(opened, Request)
        call = Call(stream, opened, self.reads)
        self.calls.append(call)
        if self.handler is not None:
            if opened.body_length == 0:
                self.handler(call)
            else:
                call.when_whole = self.handler
        self.changed()
        return call

    def mux(self, write: Callable[[bytes], None], **more: Any) -> Mux:
        defer = asyncio.get_running_loop().call_soon
        return Mux(Seat.INVOKER_LINK, write=write, defer=defer, on_open=self.opened, on_error=_raise, **more)

    async def call(self) -> Call:
        """The next request that comes."""
        await self.until(lambda: len(self.calls) > self._taken)
        self._taken += 1
        return self.calls[self._taken - 1]


def _raise(error: Exception, stream: int) -> None:
    raise error


class MemoryUpstream:
    """The invoker in the same process."""

    def __init__(self, invoker: Invoker) -> None:
        defer = asyncio.get_running_loop().call_soon
        self.errors: list[Exception] = []
        self.mux, self.far = join(
            lambda write: Mux(Seat.EDGE, write=write, defer=defer, on_error=lambda e, s: self.errors.append(e)),
            lambda write: invoker.mux(write, limits=Limits(max_window=256 * 1024)),
            defer,
        )
        self.down = False

    @property
    def ready(self) -> bool:
        return self.mux.ready and not self.down

    def open(self, request: Request, sink: StreamSink) -> Stream:
        if not self.ready:
            raise UpstreamUnavailable("not now")
        return self.mux.open_request(request, sink)


class Records(Changes):
    """The access log of a test."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[AccessRecord] = []

    def __call__(self, record: AccessRecord) -> None:
        record.line()
        self.all.append(record)
        self.changed()

    @property
    def codes(self) -> list[str]:
        return [record.code for record in self.all]

    async def code(self) -> str:
        """The code of the one record there must be."""
        await self.until(lambda: self.all)
        assert len(self.all) == 1, self.codes
        return self.all[0].code


class Front:
    """The edge under test. Time-outs are off or small, so that nothing needs to wait."""

    def __init__(self) -> None:
        self.invoker = Invoker()
        self.log = Records()
        self.settings: dict[str, Any] = {}
        self.timeouts: dict[str, float] = {"tick": 0.01, "head": 0, "body": 0, "idle": 0, "write_stall": 0, "linger": 2}
        self.limits: dict[str, int] = {}
        self.hooks = Hooks()
        self.service: EdgeService | None = None
        self.upstream: MemoryUpstream | None = None
        self.address = ("", 0)
        self.clients: list[Client] = []

    async def start(self) -> None:
        if self.service is None:
            self.upstream = MemoryUpstream(self.invoker)
            settings = EdgeSettings.model_validate(
                {"host": "127.0.0.1", "port": 0, "timeouts": self.timeouts, "limits": self.limits, **self.settings}
            )
            self.service = EdgeService(settings, self.upstream, self.log, hooks=self.hooks)
            self.address = await self.service.start()

    @property
    def url(self) -> str:
        return "http://{}:{}".format(*self.address)

    async def client(self, send: bytes = b"", receive_buffer: int = 0) -> "Client":
        """A connected client that has sent these bytes."""
        await self.start()
        client = await Client.connect(self.address, receive_buffer)
        self.clients.append(client)
        if send:
            await client.send(send)
        return client

    async def ask(self, raw: bytes) -> "Answer":
        """What a fresh connection answers to these bytes."""
        client = await self.client(raw)
        return await client.answer()

    async def stop(self) -> None:
        for client in self.clients:
            client.close()
        if self.service is not None:
            await self.service.stop()
            assert self.service.connections == 0
            assert self.upstream is not None
            assert self.upstream.errors == []


class Answer:
    """A response, taken apart without mercy."""

    def __init__(self, head: bytes) -> None:
        self.head = head
        line, *lines = head[:-4].split(b"\r\n")
        assert line.startswith(b"HTTP/1.1 "), line
        self.status = int(line[9:12])
        self.fields: Fields = tuple(_field(line) for line in lines)
        self.body = b""
        self.chunks: list[bytes] = []
        self.trailers = b""
        self.complete = False

    def __getitem__(self, name: str) -> str:
        found = [value for key, value in self.fields if key == name.encode()]
        assert len(found) == 1, (name, self.fields)
        return found[0].decode()

    def __contains__(self, name: str) -> bool:
        return any(key == name.encode() for key, _ in self.fields)


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b": ")
    assert colon, line
    assert name == name.lower(), line
    return name, value


class Client:
    """A socket and what came over it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""

    @classmethod
    async def connect(cls, address: tuple[str, int], receive_buffer: int = 0) -> "Client":
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            await asyncio.get_running_loop().sock_connect(sock, address)
        except OSError:
            sock.close()
            raise
        return cls(sock)

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(PATIENCE):
            await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def send_bytewise(self, data: bytes) -> None:
        for at in range(len(data)):
            await self.send(data[at : at + 1])
            await asyncio.sleep(0)

    async def more(self) -> bool:
        """Receive once; False at the end. Raises ConnectionResetError for RST."""
        async with asyncio.timeout(PATIENCE):
            data = await asyncio.get_running_loop().sock_recv(self.sock, 65536)
        self.buffer += data
        return bool(data)

    async def until(self, marker: bytes) -> bytes:
        while marker not in self.buffer:
            assert await self.more(), f"the connection ended before {marker!r}: {self.buffer!r}"
        end = self.buffer.index(marker) + len(marker)
        found, self.buffer = self.buffer[:end], self.buffer[end:]
        return found

    async def exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            assert await self.more(), f"the connection ended {count - len(self.buffer)} bytes too early"
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found

    async def rest(self) -> bytes:
        """All until a clean end (FIN)."""
        while await self.more():
            pass
        found, self.buffer = self.buffer, b""
        return found

    async def is_reset(self) -> bool:
        """Whether the connection ends with RST rather than FIN."""
        try:
            await self.rest()
        except ConnectionResetError:
            return True
        return False

    async def head(self) -> Answer:
        return Answer(await self.until(b"\r\n\r\n"))

    async def chunk(self) -> bytes:
        size = int(await self.until(b"\r\n"), 16)
        data = await self.exactly(size + 2)
        assert data.endswith(b"\r\n")
        return data[:-2]

    async def answer(self, method: bytes = b"GET") -> Answer:
        """A whole response."""
        answer = await self.head()
        if method == b"HEAD" or answer.status in (204, 304) or answer.status < 200:
            return answer
        if "content-length" in answer:
            answer.body = await self.exactly(int(answer["content-length"]))
        elif "transfer-encoding" in answer:
            assert answer["transfer-encoding"] == "chunked"
            while size := int(await self.until(b"\r\n"), 16):
                answer.chunks.append(await self.exactly(size))
                assert await self.exactly(2) == b"\r\n"
            while line := (await self.until(b"\r\n"))[:-2]:
                answer.trailers += line + b"\n"
            answer.body = b"".join(answer.chunks)
        else:
            assert answer["connection"] == "close"
            answer.body = await self.rest()
        return answer

    def half_close(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()


def get(target: str = "/", *fields: str, method: str = "GET", version: str = "1.1", body: bytes = b"") -> bytes:
    """A request's bytes."""
    lines = [f"{method} {target} HTTP/{version}", "Host: example.test", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body
