"""One WebSocket to a receiver, with the wire protocol on it.

The handshake and the framing are the `websockets` library's sans-I/O client; the socket is asyncio's. There is no
compression, no Origin, no redirect and no proxy: what is dialled is one entry of the allow-list.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from dialback_wire.errors import WireError
from dialback_wire.messages import Limits
from dialback_wire.mux import Mux
from dialback_wire.payload import SUBPROTOCOL
from dialback_wire.tables import Seat

from .callback_url import Target

MAX_MESSAGE = 8 * 1024 * 1024
"""Bytes of one WebSocket message from the receiver; it joins what one loop tick brought."""

CLOSING_TIME = 1.0
"""Seconds that the other side has to answer a close frame."""

WRITE_BUFFER = 256 * 1024
"""Bytes in the socket's write buffer above which the mux is paused."""


class DialFailed(Exception):
    """The receiver cannot be reached, or what answered is none."""


class DialRefused(DialFailed):
    """The receiver refused the token of the upgrade request."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the receiver answered {status}")
        self.status = status


class _Silent(logging.Logger):
    """The library logs the handshake's fields, and with them the token, when debugging is on. Not here."""

    def __init__(self) -> None:
        super().__init__("dialback.silent", logging.CRITICAL)
        self.disabled = True


class ReceiverSocket(asyncio.Protocol):
    """A socket to `target`. Made by `dial`; `mux` may be used when that has returned."""

    def __init__(
        self, target: Target, token: str, on_over: Callable[[ReceiverSocket], None], clock: Callable[[], float]
    ):
        self._loop = asyncio.get_running_loop()
        self.target = target
        self.opened: asyncio.Future[None] = self._loop.create_future()
        # Whoever dialled may have given up: then nobody asks for its exception.
        self.opened.add_done_callback(lambda opened: opened.cancelled() or opened.exception())
        self.mux = Mux(
            Seat.BRIDGE,
            write=self._write,
            defer=self._loop.call_soon,
            on_ready=self._ready,
            on_error=self._sink_failed,
            on_pong=self._pong,
            limits=Limits(),
            agent="dialback-bridge",
            eager=True,
        )
        self._on_over = on_over
        self._clock = clock
        self._heard = clock()
        self._transport: asyncio.Transport | None = None
        self._pongs: list[asyncio.Future[None]] = []
        self._websocket = ClientProtocol(
            parse_uri(f"ws://{target.authority}{target.request_path}"),
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            max_size=MAX_MESSAGE,
            logger=_Silent(),
        )
        self._request = self._websocket.connect()
        self._request.headers["Authorization"] = f"Bearer {token}"

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

    def close(self) -> None:
        """Say good-bye; the socket closes when the other side has answered, or after `CLOSING_TIME`."""
        if self._websocket.state is State.OPEN and self._transport is not None:
            self._websocket.send_close(1000)
            self._send()
            self._loop.call_later(CLOSING_TIME, self._transport.abort)
        else:
            self.abort()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=WRITE_BUFFER)
        self._transport = transport
        self._websocket.send_request(self._request)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._heard = self._clock()
        self._websocket.receive_data(data)
        for event in self._websocket.events_received():
            if isinstance(event, Response):
                self._upgraded()
            elif isinstance(event, Frame) and not self._receive(event):
                break
        self._send()
        if self._websocket.handshake_exc is not None:
            self._fail(self._websocket.handshake_exc)

    def eof_received(self) -> None:
        if not self._websocket.reader.eof:
            self._websocket.receive_eof()

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

    # --- the WebSocket ------------------------------------------------------------------------------------------------

    def _upgraded(self) -> None:
        if self._websocket.handshake_exc is None:
            if self._websocket.subprotocol == SUBPROTOCOL:
                self.mux.start()
            else:
                self._fail(DialFailed("the receiver does not speak this version of the protocol"))

    def _receive(self, frame: Frame) -> bool:
        """Take a WebSocket frame. False: the socket is not to be read any further."""
        try:
            if frame.opcode is Opcode.BINARY or frame.opcode is Opcode.CONT:
                self.mux.receive(bytes(frame.data))
            elif frame.opcode is Opcode.TEXT:
                raise DialFailed("the receiver sent text")
        except (WireError, DialFailed) as error:
            self._websocket.fail(1002, "protocol error")
            self.mux.lost(f"the receiver broke the protocol: {error}")
            self._send()
            self._fail(DialFailed(str(error)))
            self.close()
            return False
        return True

    def _write(self, data: bytes) -> None:
        if self._websocket.state is State.OPEN:
            self._websocket.send_binary(data)
            self._send()

    def _send(self) -> None:
        transport = self._transport
        for data in self._websocket.data_to_send():
            if transport is not None and not transport.is_closing():
                if data:
                    transport.write(data)
                elif transport.can_write_eof():
                    transport.write_eof()

    def _ready(self) -> None:
        if not self.opened.done():
            self.opened.set_result(None)

    def _fail(self, error: Exception) -> None:
        """The socket will not open. Afterwards this does nothing."""
        if self.opened.done():
            return
        if isinstance(error, InvalidStatus):
            status = error.response.status_code
            refused = status in (401, 403, 409, 410)
            error = DialRefused(status) if refused else DialFailed(f"the receiver answered {status}")
        elif not isinstance(error, DialFailed):
            error = DialFailed(f"what answered is no receiver: {type(error).__name__}")
        self.opened.set_exception(error)
        self.abort()

    def _pong(self, payload: bytes) -> None:
        pongs, self._pongs = self._pongs, []
        for pong in pongs:
            if not pong.done():
                pong.set_result(None)

    def _sink_failed(self, error: Exception, stream: int) -> None:
        logging.getLogger("dialback.bridge").error("stream %d failed: %r", stream, error)


async def dial(
    target: Target,
    token: str,
    within: float,
    *,
    on_over: Callable[[ReceiverSocket], None] = lambda _: None,
    clock: Callable[[], float] = time.time,
) -> ReceiverSocket:
    """Open a socket to `target` `within` that many seconds, with `token` in the upgrade request.

    `on_over` is told when the socket is gone. `clock` is a wall clock, because a monotonic one may stand still while a
    sandbox is frozen. Raises DialFailed, and DialRefused when the receiver did not take the token.
    """
    loop = asyncio.get_running_loop()
    socket = ReceiverSocket(target, token, on_over, clock)

    async def connect() -> None:
        def factory() -> ReceiverSocket:
            return socket

        if target.scheme == "ws+unix":
            await loop.create_unix_connection(factory, target.path)
        else:
            context = ssl.create_default_context() if target.scheme == "wss" else None
            await loop.create_connection(factory, target.host.strip("[]"), target.port, ssl=context)
        await socket.opened

    try:
        await asyncio.wait_for(connect(), within)
    except asyncio.TimeoutError:
        socket.abort()
        raise DialFailed(f"the receiver did not answer within {within:g} s") from None
    except OSError as error:
        raise DialFailed(f"the receiver cannot be reached: {error}") from None
    except asyncio.CancelledError:
        socket.abort()
        raise
    return socket
