"""A WebSocket to a receiver elsewhere.

The handshake and the framing are the `websockets` library's sans-I/O client; the socket is asyncio's. There is no
compression, no Origin, no redirect and no proxy.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from dialback_wire.errors import WireError
from dialback_wire.outlet import ByteOutlet, Outlet
from dialback_wire.payload import SUBPROTOCOL

from .callback_url import Target
from .receiver_socket import DialFailed, DialRefused, OnInvoke, ReceiverSocket

MAX_MESSAGE = 8 * 1024 * 1024
"""Bytes of one WebSocket message from the receiver; it joins what one loop tick brought."""

CLOSING_TIME = 1.0
"""Seconds that the other side has to answer a close frame."""


class _Silent(logging.Logger):
    """The library logs the handshake's fields, and with them the token, when debugging is on. Not here."""

    def __init__(self) -> None:
        super().__init__("dialback.silent", logging.CRITICAL)
        self.disabled = True


class WebSocket(ReceiverSocket):
    """The carrier of remote workers, and of local ones whose receiver listens on TCP."""

    def __init__(
        self,
        target: Target,
        token: str,
        on_over: Callable[[ReceiverSocket], None],
        on_invoke: OnInvoke,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(target, on_over, on_invoke, clock)
        self._websocket = ClientProtocol(
            parse_uri(f"ws://{target.authority}{target.request_path}"),
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            max_size=MAX_MESSAGE,
            logger=_Silent(),
        )
        self._request = self._websocket.connect()
        self._request.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        """Say good-bye; the socket closes when the other side has answered, or after `CLOSING_TIME`."""
        if self._websocket.state is State.OPEN and self._transport is not None:
            self._websocket.send_close(1000)
            self._send()
            self._loop.call_later(CLOSING_TIME, self._transport.abort)
        else:
            self.abort()

    def eof_received(self) -> None:
        if not self._websocket.reader.eof:
            self._websocket.receive_eof()

    def _connected(self) -> None:
        self._websocket.send_request(self._request)
        self._send()

    def _received(self, data: bytes | memoryview) -> None:
        self._websocket.receive_data(bytes(data))
        for event in self._websocket.events_received():
            if isinstance(event, Response):
                self._upgraded()
            elif isinstance(event, Frame) and not self._receive(event):
                break
        self._send()
        if self._websocket.handshake_exc is not None:
            self._refused(self._websocket.handshake_exc)

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
            self._send()
            self._broken(error)
            self.close()
            return False
        return True

    def _outlet(self) -> Outlet:
        return ByteOutlet(self._write)

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

    def _refused(self, error: Exception) -> None:
        if isinstance(error, InvalidStatus):
            status = error.response.status_code
            refused = status in (401, 403, 409, 410)
            self._fail(DialRefused(status) if refused else DialFailed(f"the receiver answered {status}"))
        else:
            self._fail(DialFailed(f"what answered is no receiver: {type(error).__name__}"))
