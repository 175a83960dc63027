"""The Unix socket to a receiver: large data on either loop."""

import asyncio
from pathlib import Path

import pytest

from dialback_bridge import event_loop
from dialback_bridge.callback_url import Target
from dialback_bridge.receiver_socket import dial
from dialback_wire.messages import End, Head, Limits, Request, Verdict
from dialback_wire.mux import Mux
from dialback_wire.sink import BaseSink, StreamSink
from dialback_wire.stream import Stream
from dialback_wire.tables import Response, Seat

PIECES = [bytes([number]) * size for number, size in enumerate((1, 65_536, 40_000, 7, 300_000, 16_384, 100_000) * 5)]


class Taker(BaseSink):
    """Keeps what it is sent."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.body = bytearray()
        self.ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()

    def on_data(self, data: bytes) -> None:
        self.body += data
        self.stream.consumed(len(data))

    def on_end(self, end: End) -> None:
        self.ended.set_result(end)


class Receiver(asyncio.Protocol):
    """Accepts every token."""

    def __init__(self) -> None:
        self.takers: list[Taker] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert hasattr(transport, "write")
        defer = asyncio.get_running_loop().call_soon
        limits = Limits(window=200_000)
        self.mux = Mux(Seat.INVOKER_RECEIVER, write=transport.write, defer=defer, on_open=self.open, limits=limits)
        self.mux.start()

    def data_received(self, data: bytes) -> None:
        self.mux.receive(data)

    def open(self, stream: Stream, opened: Request | bytes) -> StreamSink:
        stream.accept()
        self.takers.append(Taker(stream))
        return self.takers[-1]


async def relay(path: str) -> tuple[bytes, End]:
    """What the other end of a socket takes of PIECES."""
    receiver = Receiver()
    server = await asyncio.get_running_loop().create_unix_server(lambda: receiver, path)
    async with asyncio.timeout(20):
        socket = await dial(Target("unix", path=path), "token", 10)
        stream = socket.mux.open_token(b"token", BaseSink())
        while stream.response is not Response.WAITING:
            await asyncio.sleep(0)
        stream.head(Head(200, ()))
        for piece in PIECES:
            stream.write(piece)
            await asyncio.sleep(0)
        stream.end(Verdict.OK)
        (taker,) = receiver.takers
        end = await taker.ended
    socket.close()
    server.close()
    return bytes(taker.body), end


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_large_and_small_pieces_arrive_in_order_and_whole(tmp_path: Path, loop: str) -> None:
    body, end = event_loop.run(lambda: relay(str(tmp_path / "r.sock")), loop)
    assert (body == b"".join(PIECES)) is True  # a difference of megabytes is not to be shown
    assert end == End(Verdict.OK, len(body))
