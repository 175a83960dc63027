"""A Unix socket to a receiver on this machine: the frames as they are, nothing around them.

Who may connect is a matter of the folder's mode; which invocations may be answered is a matter of their tokens, one in
each OPEN.
"""

from __future__ import annotations

import asyncio

from dialback_wire.errors import WireError
from dialback_wire.outlet import Outlet, PartsOutlet

from .receiver_socket import ReceiverSocket


class StreamSocket(ReceiverSocket):
    """The carrier of local workers."""

    _joins = False
    """Whether parts are joined here, because the transport does no better."""

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _connected(self) -> None:
        # What is an asyncio.Transport is asyncio's own, not uvloop's. Its writelines joins as well before 3.12, and
        # then, up to 3.12.8 and 3.13.1, it does not say when its buffer is full (CVE-2024-12254).
        self._joins = isinstance(self._transport, asyncio.Transport)
        self.mux.start()

    def _received(self, data: bytes | memoryview) -> None:
        try:
            self.mux.receive(data)
        except WireError as error:
            self._broken(error)
            self.abort()

    def _outlet(self) -> Outlet:
        return PartsOutlet(self._write)

    def _write(self, parts: list[bytes | bytearray]) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._joins or len(parts) == 1:
            transport.write(b"".join(parts))
        else:
            transport.writelines(parts)
