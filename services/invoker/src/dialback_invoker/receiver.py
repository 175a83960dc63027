"""The receiver: where bridges dial back.

Bridges on this machine come through a Unix socket and speak frames at once; others come by WebSocket, and prove
themselves before the 101 by the token of the invocation that made them dial. Either way every stream presents its own
token, and a socket opens only invocations that were given to its worker.
"""

import asyncio

from aiohttp import web

from dialback_invoker.bridge_socket import BridgeSocket
from dialback_invoker.lease import Tunnel
from dialback_invoker.paths import BACKLOG
from dialback_invoker.pending import Entry, PendingTable, Refused
from dialback_invoker.stream_socket import StreamSocket
from dialback_invoker.web_socket import WebSocket
from dialback_wire import payload
from dialback_wire.flow import Budget
from dialback_wire.messages import Limits, Refusal
from dialback_wire.read_buffer import ReadBuffer

_LARGEST_MESSAGE = 4 * 1024 * 1024
_CLOSING_SECONDS = 1.0
_REFUSED_BODY = {
    Refusal.UNAUTHORIZED: b"unauthorized\n",
    Refusal.CONFLICT: b"conflict\n",
    Refusal.GONE: b"gone\n",
}


class Receiver:
    """Takes dial-backs for the invocations of a `PendingTable`."""

    def __init__(self, pending: PendingTable, *, budget: Budget, limits: Limits | None = None) -> None:
        self.authorities: frozenset[str] = frozenset()
        """The Host values under which bridges may call by WebSocket, in lower case."""
        self._pending = pending
        self._budget = budget
        self._buffer = ReadBuffer()
        self._limits = limits or Limits()
        self._sockets: set[BridgeSocket] = set()
        self._by_worker: dict[str, BridgeSocket] = {}
        self._server: asyncio.Server | None = None

    @property
    def sockets(self) -> int:
        """How many bridges are connected."""
        return len(self._sockets)

    async def listen_unix(self, path: str) -> None:
        """Take bridges of this machine on a Unix socket. Raises OSError."""
        self._server = await asyncio.get_running_loop().create_unix_server(self._stream_socket, path, backlog=BACKLOG)

    def application(self) -> web.Application:
        """Takes bridges by WebSocket, as an aiohttp application."""
        app = web.Application()
        app.router.add_get(payload.CALLBACK_PATH, self._upgrade)
        return app

    def tunnel(self, worker: str) -> Tunnel | None:
        """The socket of a worker that has dialled back and still holds it."""
        return self._by_worker.get(worker)

    def _known(self, socket: BridgeSocket) -> None:
        self._by_worker[socket.worker] = socket

    def _over(self, socket: BridgeSocket) -> None:
        self._sockets.discard(socket)
        if self._by_worker.get(socket.worker) is socket:
            del self._by_worker[socket.worker]

    def drop_worker(self, worker: str) -> None:
        """A worker is dead: nothing of what its sockets still hold will get an end."""
        for socket in [socket for socket in self._sockets if socket.worker == worker]:
            socket.close("the worker is gone")

    async def close(self) -> None:
        """Take no more bridges, and close every socket."""
        if self._server is not None:
            self._server.close()
        for socket in list(self._sockets):
            socket.close("the receiver stops")

    def _stream_socket(self) -> StreamSocket:
        socket = StreamSocket(self._pending, self._limits, self._budget, self._buffer, self._sockets.add, self._over)
        socket.on_known = self._known
        return socket

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
            protocols=(payload.SUBPROTOCOL,), compress=False, max_msg_size=_LARGEST_MESSAGE, timeout=_CLOSING_SECONDS
        )
        entry.exchange.timeline.mark("dialed_back")
        await response.prepare(request)
        socket = WebSocket(response, entry.worker, self._pending, self._limits, self._budget)
        socket.on_known = self._known
        self._sockets.add(socket)
        try:
            await socket.run()
        finally:
            self._over(socket)
        return response


def _bearer(request: web.Request) -> bytes:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.encode("utf-8", "surrogateescape") if scheme == "Bearer" else b""
