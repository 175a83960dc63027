"""A socket to a receiver, with the wire protocol on it: what both carriers have in common, and dialling.

A receiver on this machine is a Unix socket that carries the frames as they are (`stream_socket`); one elsewhere is a
WebSocket (`web_socket`). No redirect and no proxy: what is dialled is one entry of the allow-list.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import cast

from dialback_wire.errors import WireError
from dialback_wire.messages import Invoke, Limits
from dialback_wire.mux import Mux
from dialback_wire.outlet import Outlet
from dialback_wire.read_buffer import ReadBuffer
from dialback_wire.tables import Seat

from .callback_url import Target

WRITE_BUFFER = 256 * 1024
"""Bytes in the socket's write buffer above which the mux is paused."""

_buffer = ReadBuffer()

OnInvoke = Callable[["ReceiverSocket", Invoke], None]


class DialFailed(Exception):
    """The receiver cannot be reached, or what answered is none."""


class DialRefused(DialFailed):
    """The receiver refused the token of the upgrade request."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the receiver answered {status}")
        self.status = status


class ReceiverSocket(ABC, asyncio.BufferedProtocol):
    """A socket to `target`. Made by `dial`; `mux` may be used when that has returned.

    asyncio's usual protocol gets a new object of 256 KiB for every read, however little came; a buffered one reads
    into the same memory each time.
    """

    def __init__(
        self,
        target: Target,
        on_over: Callable[[ReceiverSocket], None],
        on_invoke: OnInvoke,
        clock: Callable[[], float],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.target = target
        self.opened: asyncio.Future[None] = self._loop.create_future()
        # Whoever dialled may have given up: then nobody asks for its exception.
        self.opened.add_done_callback(lambda opened: opened.cancelled() or opened.exception())
        self.mux = Mux(
            Seat.BRIDGE,
            write=self._outlet(),
            defer=self._loop.call_soon,
            on_ready=self._ready,
            on_error=self._sink_failed,
            on_pong=self._pong,
            on_invoke=self._invoked,
            limits=Limits(),
            agent="dialback-bridge",
            eager=True,
        )
        self._on_over = on_over
        self._on_invoke = on_invoke
        self._clock = clock
        self._heard = clock()
        self._transport: asyncio.Transport | None = None
        self._pongs: list[asyncio.Future[None]] = []

    # --- what a carrier adds ------------------------------------------------------------------------------------------

    @abstractmethod
    def _connected(self) -> None:
        """The transport is there."""

    @abstractmethod
    def _received(self, data: bytes | memoryview) -> None:
        """Bytes came."""

    @abstractmethod
    def _outlet(self) -> Outlet:
        """How the mux's frames leave."""

    @abstractmethod
    def close(self) -> None:
        """Hang up, politely where the carrier knows how."""

    # --- state --------------------------------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether a stream may be opened."""
        return self.mux.ready and not self.mux.going_away

    @property
    def silence(self) -> float:
        """Seconds since the other side was last heard of."""
        return self._clock() - self._heard

    async def answers(self, within: float) -> bool:
        """Ask the receiver for a sign of life; False when none came `within` that many seconds."""
        pong: asyncio.Future[None] = self._loop.create_future()
        self._pongs.append(pong)
        self.mux.ping()
        done, _ = await asyncio.wait([pong], timeout=within)
        return bool(done) and self.mux.ready

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.BufferedProtocol -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER)
        self._connected()

    def get_buffer(self, sizehint: int) -> memoryview:
        return _buffer.memory

    def buffer_updated(self, nbytes: int) -> None:
        self._heard = self._clock()
        self._received(_buffer.came(nbytes))

    def connection_lost(self, exc: Exception | None) -> None:
        why = "the receiver closed the socket" if exc is None else f"the socket was lost: {exc}"
        self._fail(DialFailed(why))
        for pong in self._pongs:
            if not pong.done():
                pong.set_result(None)
        self.mux.lost(why)
        self._on_over(self)

    def pause_writing(self) -> None:
        self.mux.pause()

    def resume_writing(self) -> None:
        self.mux.resume()

    # --- the mux ------------------------------------------------------------------------------------------------------

    def _ready(self) -> None:
        if not self.opened.done():
            self.opened.set_result(None)

    def _fail(self, error: Exception) -> None:
        """The socket will not open. Afterwards this does nothing."""
        if not self.opened.done():
            self.opened.set_exception(error)
            self.abort()

    def _broken(self, error: WireError | DialFailed) -> None:
        """The receiver broke the protocol."""
        self.mux.lost(f"the receiver broke the protocol: {error}")
        self._fail(DialFailed(str(error)))

    def _invoked(self, invoke: Invoke) -> None:
        self._on_invoke(self, invoke)

    def _pong(self, payload: bytes) -> None:
        pongs, self._pongs = self._pongs, []
        for pong in pongs:
            if not pong.done():
                pong.set_result(None)

    def _sink_failed(self, error: Exception, stream: int) -> None:
        logging.getLogger("dialback.bridge").error("stream %d failed: %r", stream, error)


def _decline(socket: ReceiverSocket, invoke: Invoke) -> None:
    socket.mux.decline(invoke.invocation)


async def dial(
    target: Target,
    token: str,
    within: float,
    *,
    on_over: Callable[[ReceiverSocket], None] = lambda _: None,
    on_invoke: OnInvoke = _decline,
    clock: Callable[[], float] = time.time,
) -> ReceiverSocket:
    """Open a socket to `target` `within` that many seconds; a WebSocket shows `token` in its upgrade request.

    `on_over` is told when the socket is gone, `on_invoke` of invocations that come over it.
    `clock` is a wall clock, because a monotonic one may stand still while a
    sandbox is frozen. Raises DialFailed, and DialRefused when the receiver did not take the token.
    """
    socket: ReceiverSocket
    if target.scheme == "unix":
        from .stream_socket import StreamSocket

        socket = StreamSocket(target, on_over, on_invoke, clock)
    else:
        from .web_socket import WebSocket

        socket = WebSocket(target, token, on_over, on_invoke, clock)
    try:
        await asyncio.wait_for(_connect(socket), within)
    except asyncio.TimeoutError:
        socket.abort()
        raise DialFailed(f"the receiver did not answer within {within:g} s") from None
    except OSError as error:
        raise DialFailed(f"the receiver cannot be reached: {error}") from None
    except asyncio.CancelledError:
        socket.abort()
        raise
    return socket


async def _connect(socket: ReceiverSocket) -> None:
    loop, target = asyncio.get_running_loop(), socket.target
    if target.scheme == "unix":
        await loop.create_unix_connection(lambda: socket, target.path)
    else:
        context = ssl.create_default_context() if target.scheme == "wss" else None
        await loop.create_connection(lambda: socket, target.host.strip("[]"), target.port, ssl=context)
    await socket.opened
