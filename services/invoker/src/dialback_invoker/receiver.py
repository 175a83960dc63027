"""The receiver: where bridges dial back.

A WebSocket server for one path. A dial-back proves itself before the 101, by the token of the invocation that made it
dial, and the socket then belongs to that invocation's worker. Every stream on it presents its own token, and opens only
invocations that were given to that worker.
"""

import asyncio
import logging

from aiohttp import WSMsgType, web

from dialback_invoker.callback import CallbackSource
from dialback_invoker.pending import Entry, PendingTable, Refused
from dialback_wire import payload
from dialback_wire.errors import FramingError
from dialback_wire.flow import Budget
from dialback_wire.messages import Limits, Refusal, Request
from dialback_wire.mux import Mux
from dialback_wire.sink import BaseSink, StreamSink
from dialback_wire.stream import Stream
from dialback_wire.tables import Seat

log = logging.getLogger("dialback.receiver")

_LARGEST_MESSAGE = 4 * 1024 * 1024
_FRAMING_ERROR = 1002
_REFUSED_BODY = {
    Refusal.UNAUTHORIZED: b"unauthorized\n",
    Refusal.CONFLICT: b"conflict\n",
    Refusal.GONE: b"gone\n",
}


class Receiver:
    """Takes dial-backs for the invocations of a `PendingTable`."""

    def __init__(
        self,
        pending: PendingTable,
        *,
        authorities: frozenset[str],
        budget: Budget,
        limits: Limits | None = None,
    ) -> None:
        """`authorities`: the Host values under which bridges may call, in lower case."""
        self._pending = pending
        self.authorities = authorities
        self._budget = budget
        self._limits = limits or Limits()
        self._sockets: set[_Socket] = set()

    @property
    def sockets(self) -> int:
        """How many bridges are connected."""
        return len(self._sockets)

    def application(self) -> web.Application:
        """The receiver as an aiohttp application; it may listen on several addresses."""
        app = web.Application()
        app.router.add_get(payload.CALLBACK_PATH, self._upgrade)
        return app

    def drop_worker(self, worker: str) -> None:
        """A worker is dead: nothing of what its sockets still hold will get an end."""
        for socket in [socket for socket in self._sockets if socket.worker == worker]:
            socket.close("the worker is gone")

    async def close(self) -> None:
        """Close every socket."""
        for socket in list(self._sockets):
            socket.close("the receiver stops")

    async def _upgrade(self, request: web.Request) -> web.StreamResponse:
        if "Origin" in request.headers:
            # Browsers send it, bridges never do.
            return web.Response(status=403, body=b"forbidden\n")
        if request.host.lower() not in self.authorities:
            return web.Response(status=421, body=b"misdirected\n")
        try:
            entry = self._pending.check(_bearer(request))
        except Refused as refused:
            return web.Response(status=refused.code, body=_REFUSED_BODY[refused.code])
        return await self._serve(request, entry)

    async def _serve(self, request: web.Request, entry: Entry) -> web.WebSocketResponse:
        response = web.WebSocketResponse(
            protocols=(payload.SUBPROTOCOL,), compress=False, max_msg_size=_LARGEST_MESSAGE, timeout=1.0
        )
        entry.exchange.timeline.mark("dialed_back")
        await response.prepare(request)
        socket = _Socket(response, entry.worker, self._pending, self._limits, self._budget)
        self._sockets.add(socket)
        try:
            await socket.run()
        finally:
            self._sockets.discard(socket)
        return response


class _Socket:
    """One bridge's socket."""

    def __init__(
        self, response: web.WebSocketResponse, worker: str, pending: PendingTable, limits: Limits, budget: Budget
    ) -> None:
        self.worker = worker
        self._response = response
        self._pending = pending
        self._outgoing: bytes | None = None
        self._wake = asyncio.Event()
        self._closing = ""
        self.mux = Mux(
            Seat.INVOKER_RECEIVER,
            write=self._write,
            defer=asyncio.get_running_loop().call_soon,
            on_open=self._open,
            on_error=self._on_error,
            limits=limits,
            budget=budget,
            agent="dialback-invoker",
        )

    async def run(self) -> None:
        """Carry the socket until either side closes it."""
        writer = asyncio.create_task(self._send())
        self.mux.start()
        why = "the bridge closed its socket"
        try:
            async for message in self._response:
                if message.type is not WSMsgType.BINARY:
                    raise FramingError(f"a {message.type.name} message")
                self.mux.receive(message.data)
        except FramingError as error:
            why = str(error)
            log.warning("socket of %s closed: %s", self.worker, why)
            await self._response.close(code=_FRAMING_ERROR, message=why.encode()[:100])
        finally:
            self.mux.lost(self._closing or why)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    def close(self, why: str) -> None:
        """Give every stream up and hang up."""
        self._closing = why
        self.mux.lost(why)
        self._wake.set()

    def _write(self, data: bytes) -> None:
        # aiohttp sends by coroutine: one write is under way at a time, and the mux is held back meanwhile.
        self._outgoing = data
        self.mux.pause()
        self._wake.set()

    async def _send(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._closing:
                await self._response.close()
                return
            data, self._outgoing = self._outgoing, None
            if data is not None:
                try:
                    await self._response.send_bytes(data)
                except ConnectionError as error:
                    self.mux.lost(f"the bridge's socket broke: {error}")
                    return
                self.mux.resume()

    def _open(self, stream: Stream, opened: Request | bytes) -> StreamSink:
        token = opened if isinstance(opened, bytes) else b""
        try:
            entry = self._pending.take(token, self.worker)
        except Refused as refused:
            stream.refuse(refused.code, refused.reason)
            return BaseSink()
        exchange = entry.exchange
        source = CallbackSource(stream, exchange)
        exchange.timeline.mark("dialed_back")
        exchange.timeline.mark("token_accepted")
        body = exchange.upload.streams
        stream.accept(body=body)
        exchange.attach(source)
        exchange.running()
        if body:
            exchange.upload.stream_into(stream)
        return source

    def _on_error(self, error: Exception, stream: int) -> None:
        log.error("stream %d of %s failed: %r", stream, self.worker, error, exc_info=error)


def _bearer(request: web.Request) -> bytes:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.encode("utf-8", "surrogateescape") if scheme == "Bearer" else b""
