"""What one client is to be sent: the pieces of one loop tick leave as one write."""

import asyncio

_FLUSH_BYTES = 64 * 1024


class Outgoing:
    """Gathers bytes for a transport. Nothing waits for a timer: all leaves before the loop next waits for I/O."""

    __slots__ = ("_due", "_loop", "_pieces", "_size", "_transport", "written")

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport) -> None:
        self.written = 0
        """Bytes that were handed to the transport so far."""
        self._loop = loop
        self._transport = transport
        self._pieces: list[bytes] = []
        self._size = 0
        self._due = False

    def write(self, data: bytes) -> None:
        """Bytes to be sent, in order; many are handed on at once, so that the transport can object."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= _FLUSH_BYTES:
            self.flush()
        elif not self._due:
            self._due = True
            self._loop.call_soon(self._end_of_tick)

    def flush(self) -> None:
        """Hand on what was gathered."""
        if self._pieces:
            data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self.drop()
            self._hand_on(data)

    def send(self, data: bytes) -> None:
        """Hand on what was gathered and these bytes behind it."""
        if self._pieces:
            self._pieces.append(data)
            self.flush()
        else:
            self._hand_on(data)

    def _hand_on(self, data: bytes) -> None:
        """Nothing happens when the client is gone: under uvloop a write to a closed transport raises."""
        if not self._transport.is_closing():
            self.written += len(data)
            self._transport.write(data)

    def drop(self) -> None:
        """Forget what was gathered."""
        self._pieces.clear()
        self._size = 0

    def _end_of_tick(self) -> None:
        self._due = False
        self.flush()
