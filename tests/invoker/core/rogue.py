"""A bridge without manners: it holds a real token and sends what it likes to the receiver."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

import websockets
from websockets.asyncio.client import ClientConnection, connect

from dialback_wire import frames, payload
from dialback_wire.frames import FrameType
from dialback_wire.messages import Accept, End, Fields, Head, Invoke, Reason, Verdict
from dialback_wire.mux import Mux
from dialback_wire.sink import BaseSink
from dialback_wire.stream import Stream
from dialback_wire.tables import Seat

from .strings import BOUND

Address = Mapping[str, Any]
"""Where the receiver is: an entry of the launch configuration's allow-list."""


class Seen(BaseSink):
    """What one stream of the rogue was told."""

    def __init__(self) -> None:
        self.accepted: asyncio.Future[Accept | int] = asyncio.get_running_loop().create_future()
        self.reason = ""
        self.cancelled: asyncio.Future[Reason] = asyncio.get_running_loop().create_future()
        self.lost = asyncio.Event()
        self.body = b""
        self.trailers: Fields = ()
        self.body_end: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self.sent = 0
        self.closed = asyncio.Event()
        self.stream: Stream

    def on_accept(self, accept: Accept) -> None:
        self.accepted.set_result(accept)

    def on_refuse(self, code: int, reason: str) -> None:
        self.reason = reason
        self.accepted.set_result(code)

    def on_cancel(self, reason: Reason, detail: str) -> None:
        if not self.cancelled.done():
            self.cancelled.set_result(reason)
        with suppress(Exception):
            self.stream.end(Verdict.CANCELLED)

    def on_data(self, data: bytes) -> None:
        self.body += data
        self.stream.consumed(len(data))

    def on_trailers(self, fields: Fields) -> None:
        self.trailers = fields

    def on_end(self, end: End) -> None:
        self.body_end.set_result(end)

    def on_sent(self, count: int) -> None:
        self.sent += count

    def on_closed(self) -> None:
        self.closed.set()

    def on_lost(self, why: str) -> None:
        self.lost.set()
        if not self.accepted.done():
            self.accepted.cancel()

    def head(self, status: int = 200, *fields: tuple[bytes, bytes]) -> None:
        """Begin a response, well."""
        self.stream.head(Head(status, fields))

    def respond(self, body: bytes) -> None:
        """A whole response, all well."""
        self.head(200, (b"content-length", str(len(body)).encode()))
        self.stream.write(body)
        self.stream.end(Verdict.OK)

    async def answer(self) -> Accept | int:
        """What became of the token: an Accept, or the code of the refusal."""
        return await asyncio.wait_for(self.accepted, BOUND)


class Rogue:
    """One open socket to the receiver."""

    def __init__(self, carrier: "Carrier") -> None:
        self.carrier = carrier
        self.ready = asyncio.Event()
        self._outgoing: asyncio.Queue[bytes | str] = asyncio.Queue()
        self._invoked: asyncio.Queue[Invoke] = asyncio.Queue()
        self.mux = Mux(
            Seat.BRIDGE,
            write=self._outgoing.put_nowait,
            defer=asyncio.get_running_loop().call_soon,
            on_ready=self.ready.set,
            on_invoke=self._invoked.put_nowait,
            agent="rogue",
        )

    def open(self, token: str) -> Seen:
        """Present a token on a new stream."""
        seen = Seen()
        seen.stream = self.mux.open_token(token.encode(), seen)
        return seen

    async def accepted(self, token: str) -> Seen:
        seen = self.open(token)
        assert isinstance(await seen.answer(), Accept)
        return seen

    async def invoked(self) -> Invoke:
        """The next invocation that came over this socket."""
        return await asyncio.wait_for(self._invoked.get(), BOUND)

    def raw(self, data: bytes | str) -> None:
        """Send what no mux would send; behind everything that was sent before."""
        asyncio.get_running_loop().call_soon(self._outgoing.put_nowait, data)

    def frame(self, kind: int, stream: int, data: bytes = b"") -> None:
        self.raw(frames.frame(kind, stream, data))

    def head(self, stream: int, status: int = 200, *fields: tuple[bytes, bytes]) -> None:
        """A HEAD whatever the state of the stream."""
        self.frame(FrameType.HEAD, stream, status.to_bytes(2, "big") + frames.encode_fields(fields))

    def end(self, stream: int, count: int = 0, verdict: Verdict = Verdict.OK) -> None:
        """An END whatever the state of the stream."""
        self.frame(FrameType.END, stream, frames.encode_end(End(verdict, count)))

    @property
    def extensions(self) -> list[str]:
        """WebSocket extensions that were agreed on."""
        return self.carrier.extensions

    async def closed(self) -> int:
        """The code with which the receiver closed the socket; 0 where the carrier has none."""
        return await asyncio.wait_for(self.carrier.closed(), BOUND)

    async def _receive(self) -> None:
        async for data in self.carrier.incoming():
            self.mux.receive(data)
        self.mux.lost("closed")

    async def _send(self) -> None:
        while True:
            await self.carrier.send(await self._outgoing.get())


class Carrier(Protocol):
    """What the frames travel on."""

    @property
    def extensions(self) -> list[str]: ...

    def incoming(self) -> AsyncIterator[bytes]: ...

    async def send(self, data: bytes | str) -> None: ...

    async def closed(self) -> int: ...


class ByWebSocket:
    """A WebSocket over TCP."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def incoming(self) -> AsyncIterator[bytes]:
        with suppress(websockets.ConnectionClosed):
            async for message in self._socket:
                assert isinstance(message, bytes)
                yield message

    @property
    def extensions(self) -> list[str]:
        return [extension.name for extension in self._socket.protocol.extensions]

    async def send(self, data: bytes | str) -> None:
        with suppress(websockets.ConnectionClosed):
            await self._socket.send(data)

    async def closed(self) -> int:
        await self._socket.wait_closed()
        return self._socket.close_code or 0


class ByStream:
    """Frames as they are, over a Unix socket."""

    extensions: list[str] = []  # noqa: RUF012 - never changed

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._over = asyncio.Event()

    async def incoming(self) -> AsyncIterator[bytes]:
        with suppress(ConnectionError):
            while data := await self._reader.read(65536):
                yield data
        self._over.set()

    async def send(self, data: bytes | str) -> None:
        with suppress(ConnectionError):
            self._writer.write(data if isinstance(data, bytes) else data.encode())
            await self._writer.drain()

    async def closed(self) -> int:
        await self._over.wait()
        return 0


@asynccontextmanager
async def dialled(
    address: Address, token: str, *, greet: bool = True, compression: str | None = None
) -> AsyncIterator[Rogue]:
    """A socket that the receiver let in. Raises websockets.InvalidStatus when it did not."""
    if address["scheme"] == "unix":
        reader, writer = await asyncio.open_unix_connection(address["path"])
        try:
            async with _speaking(ByStream(reader, writer), greet) as rogue:
                yield rogue
        finally:
            writer.transport.abort()
        return
    connecting = connect(
        f"ws://{address['host']}:{address['port']}{payload.CALLBACK_PATH}",
        additional_headers={"Authorization": f"Bearer {token}"},
        subprotocols=[websockets.Subprotocol(payload.SUBPROTOCOL)],
        compression=compression,
        max_size=None,
        proxy=None,
    )
    async with connecting as socket, _speaking(ByWebSocket(socket), greet) as rogue:
        yield rogue


@asynccontextmanager
async def _speaking(carrier: Carrier, greet: bool) -> AsyncIterator[Rogue]:
    rogue = Rogue(carrier)
    tasks = [asyncio.create_task(rogue._receive()), asyncio.create_task(rogue._send())]
    try:
        if greet:
            rogue.mux.start()
        await asyncio.wait_for(rogue.ready.wait(), BOUND)
        yield rogue
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def upgrade(address: Address, *lines: str, target: str = payload.CALLBACK_PATH, host: str | None = None) -> bytes:
    """The whole answer to an upgrade request made by hand, but for the date."""
    reader, writer = await asyncio.open_connection(address["host"], address["port"])
    request = [
        f"GET {target} HTTP/1.1",
        f"Host: {host or '{host}:{port}'.format(**address)}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *lines,
    ]
    writer.write("\r\n".join([*request, "", ""]).encode("latin-1"))
    try:
        async with asyncio.timeout(BOUND):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next((int(value) for name, value in _fields(head) if name == b"content-length"), 0)
            body = await reader.readexactly(length)
    finally:
        writer.close()
    return b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(b"date:")) + body


def _fields(head: bytes) -> list[tuple[bytes, bytes]]:
    pairs = (line.partition(b":") for line in head.split(b"\r\n")[1:] if line)
    return [(name.lower(), value.strip()) for name, _, value in pairs]
