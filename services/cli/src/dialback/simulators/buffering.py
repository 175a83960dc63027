"""A proxy that buffers, as nginx does unless it is told otherwise (`proxy_buffering on`), without I/O.

nginx collects a response in buffers of one memory page and passes each on when it is full; the head waits for the first
one, and what is left goes with the end. It passes a response on at once when that says `X-Accel-Buffering: no`, and
keeps this field to itself. Like nginx before 1.29 it asks upstream on a connection of its own for each request, so the
end of a response is the end of the connection. It buffers no more than one block here: nginx also takes in what a slow
client has not read, up to a gigabyte on its disk.
"""

from __future__ import annotations

from typing import Final

from dialback.simulators.conditions import BLOCK

END_OF_HEAD: Final = b"\r\n\r\n"
LONGEST_HEAD: Final = 256 * 1024
"""Bytes; a longer head is passed on as it is, and the edge says what it thinks of it."""


class Buffering:
    """One connection."""

    def __init__(self, block: int = BLOCK) -> None:
        self._block = block
        self._request: bytearray | None = bytearray()
        self._head: bytearray | None = bytearray()
        self._held = bytearray()
        self._through = False

    def request(self, data: bytes) -> bytes:
        """What goes on to the edge: the same, with `Connection: close` in the first head."""
        if self._request is None:
            return data
        self._request += data
        end = self._request.find(END_OF_HEAD)
        if end < 0 and len(self._request) <= LONGEST_HEAD:
            return b""
        whole, self._request = bytes(self._request), None
        return whole if end < 0 else whole[:end] + b"\r\nConnection: close" + whole[end:]

    def response(self, data: bytes) -> bytes:
        """What goes on to the client now."""
        if self._head is not None:
            data = self._read_head(self._head, data)
        self._held += data
        if self._through:
            ready = len(self._held)
        elif self._head is not None:
            ready = 0
        else:
            ready = len(self._held) // self._block * self._block
        passed = bytes(self._held[:ready])
        del self._held[:ready]
        return passed

    def end(self) -> bytes:
        """What goes on when the edge has ended the response."""
        rest = bytes(self._held) + bytes(self._head or b"")
        self._held.clear()
        self._head = None
        return rest

    def _read_head(self, head: bytearray, data: bytes) -> bytes:
        head += data
        while (end := head.find(END_OF_HEAD)) >= 0:
            lines = bytes(head[:end]).split(b"\r\n")
            rest = bytes(head[end:])
            if lines[0][9:10] == b"1":  # an interim response (RFC 9110, 15.2): another head follows
                self._held += head[: end + len(END_OF_HEAD)]
                del head[: end + len(END_OF_HEAD)]
                continue
            self._head = None
            kept = [line for line in lines if not line.lower().startswith(b"x-accel-buffering:")]
            dropped = [line for line in lines if line not in kept]
            self._through = any(line.partition(b":")[2].strip().lower() == b"no" for line in dropped)
            return b"\r\n".join(kept) + rest
        if len(head) > LONGEST_HEAD:
            self._head = None
            return bytes(head)
        return b""
