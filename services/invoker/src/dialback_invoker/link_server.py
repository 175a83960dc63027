"""The invoker's end of the link: where edges connect, over a Unix socket, TCP, or in memory."""

import asyncio
import logging
import secrets
import ssl
from typing import cast

from dialback_invoker.paths import BACKLOG
from dialback_wire.errors import FramingError
from dialback_wire.flow import Budget
from dialback_wire.messages import Limits
from dialback_wire.mux import Mux, OpenHandler
from dialback_wire.outlet import Outlet, PartsOutlet
from dialback_wire.proof import NONCE_BYTES
from dialback_wire.read_buffer import ReadBuffer
from dialback_wire.tables import Seat

log = logging.getLogger("dialback.link")

GREETING_SECONDS = 5.0
"""A peer that has not proven itself by then is cut off."""


class LinkServer:
    """Serves edges. Every stream that they open goes to `on_open`."""

    def __init__(self, on_open: OpenHandler, *, key: bytes, budget: Budget, limits: Limits | None = None) -> None:
        self._on_open = on_open
        self._key = key
        self._budget = budget
        self._limits = limits or Limits()
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._joined: list[Mux] = []
        self.buffer = ReadBuffer()

    @property
    def advertised(self) -> str:
        """The public address that the most recent edge said it listens on, or an empty text."""
        for mux in [*(link.mux for link in self._links), *self._joined]:
            if mux.peer is not None and "://" in mux.peer.agent:
                return mux.peer.agent
        return ""

    async def listen_unix(self, path: str) -> None:
        """Listen on a Unix socket. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Link(self), path, backlog=BACKLOG)

    async def listen_tcp(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> tuple[str, int]:
        """Listen on TCP, with TLS if there is a context for it; returns the address. Raises OSError."""
        loop = asyncio.get_running_loop()
        patience = GREETING_SECONDS if tls is not None else None
        self._server = await loop.create_server(
            lambda: _Link(self), host, port, ssl=tls, ssl_handshake_timeout=patience
        )
        address = self._server.sockets[0].getsockname()
        return address[0], address[1]

    def mux(self, write: Outlet, *, key: bytes | None) -> Mux:
        """The invoker's end of a carrier; without a key for one that stays in this process."""
        return Mux(
            Seat.INVOKER_LINK,
            write=write,
            defer=asyncio.get_running_loop().call_soon,
            on_open=self._on_open,
            on_error=lambda error, stream: log.error("stream %d failed: %r", stream, error, exc_info=error),
            key=key,
            nonce=secrets.token_bytes(NONCE_BYTES) if key is not None else b"",
            limits=self._limits,
            budget=self._budget,
            agent="dialback-invoker",
        )

    def in_memory(self, outlet: Outlet) -> Mux:
        """The invoker's end of a link inside this process, for `dialback_wire.memory.join`."""
        mux = self.mux(outlet, key=None)
        self._joined.append(mux)
        return mux

    def go_away(self, reason: str) -> None:
        """Ask every edge to open no more streams, and let no other one in."""
        if self._server is not None:
            self._server.close()
        for mux in [*(link.mux for link in self._links), *self._joined]:
            mux.go_away(reason)

    async def close(self) -> None:
        """Close the listener and every link."""
        if self._server is not None:
            self._server.close()
        for link in list(self._links):
            link.close()

    def _keyed(self, outlet: Outlet) -> Mux:
        return self.mux(outlet, key=self._key)

    def _connected(self, link: "_Link") -> None:
        self._links.add(link)

    def _disconnected(self, link: "_Link") -> None:
        self._links.discard(link)


class _Link(asyncio.BufferedProtocol):
    """One edge's connection."""

    def __init__(self, server: LinkServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._buffer = server.buffer
        self._greeting: asyncio.TimerHandle | None = None
        self.mux = server._keyed(PartsOutlet(self._write))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, and give the other side a little time to prove itself."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._server._connected(self)
        self._greeting = asyncio.get_running_loop().call_later(GREETING_SECONDS, self._check_greeting)
        self.mux.start()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._buffer.memory

    def buffer_updated(self, nbytes: int) -> None:
        """Frames, cut anywhere."""
        try:
            self.mux.receive(self._buffer.came(nbytes))
        except FramingError as error:
            log.warning("link closed: %s", error)
            self._lost(str(error))

    def pause_writing(self) -> None:
        """The edge does not keep up."""
        self.mux.pause()

    def resume_writing(self) -> None:
        """It does again."""
        self.mux.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """The edge is gone, and its clients with it."""
        self._lost(str(exc) if exc else "the edge closed the link")

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def _check_greeting(self) -> None:
        if not self.mux.ready:
            log.warning("link closed: no greeting within %g s", GREETING_SECONDS)
            self._lost("no greeting")

    def _lost(self, why: str) -> None:
        self.mux.lost(why)
        self._server._disconnected(self)
        if self._greeting is not None:
            self._greeting.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _write(self, parts: list[bytes | bytearray]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(parts)
