"""A Unix socket to a receiver on this machine: the frames as they are, nothing around them.

Who may connect is a matter of the folder's mode; which invocations may be answered is a matter of their tokens, one in
each OPEN.
"""

from __future__ import annotations

from dialback_wire.errors import WireError
from dialback_wire.outlet import Outlet, PartsOutlet

from .receiver_socket import ReceiverSocket


class StreamSocket(ReceiverSocket):
    """The carrier of local workers."""

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _connected(self) -> None:
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
        if transport is not None and not transport.is_closing():
            transport.writelines(parts)
