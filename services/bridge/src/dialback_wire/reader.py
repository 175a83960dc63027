"""Bytes to frames, however the carrier cut them."""

from collections.abc import Iterator

from .errors import FramingError
from .frames import HEADER_BYTES, HELLO_LIMIT, unpack_header

CRUMB = 2048
"""Parts smaller than this many bytes are gathered."""

RawFrame = tuple[int, int, bytes]
"""Type, stream, payload."""


class FrameReader:
    """Collects bytes and gives out whole frames.

    Holds at most one incomplete frame. `max_frame` bounds a payload, in bytes; the owner raises it when the greeting is
    over, which takes effect for the very next frame.
    """

    __slots__ = ("_kind", "_need", "_parts", "_stream", "held", "max_frame")

    def __init__(self) -> None:
        self.max_frame = HELLO_LIMIT
        self.held = 0
        """Bytes of the incomplete frame that waits for its rest."""
        self._need = HEADER_BYTES
        self._kind = 0
        self._stream = 0
        self._parts: list[bytes | bytearray] = []
        """Of a payload whose header has come, or less than a header."""

    def feed(self, data: bytes | memoryview) -> Iterator[RawFrame]:
        """The frames that are complete with `data`; to be used up before the next call.

        What is kept of a memoryview is copied: its memory may be written to again when the frames are used up. Raises
        FramingError, behind the frames that came before it, for a frame that is too large.
        """
        at = 0
        if self.held >= HEADER_BYTES:
            # Of the bytes that came, only those of the frame that was cut are joined with others.
            at = self._need - self.held
            if len(data) < at:
                self._hold(data)
                return
            self._hold(data[:at])
            yield self._kind, self._stream, self._taken()
        elif self.held:
            data = self._taken() + data
        size = len(data)
        while size - at >= HEADER_BYTES:
            word, stream = unpack_header(data, at)
            length = word & 0xFF_FFFF
            if length > self.max_frame:
                raise FramingError(f"a frame of {length} bytes; {self.max_frame} at most")
            at += HEADER_BYTES
            end = at + length
            if end > size:
                self._kind, self._stream = word >> 24, stream
                self._need = HEADER_BYTES + length
                self.held = HEADER_BYTES
                break
            payload = data[at:end]
            yield word >> 24, stream, payload if isinstance(payload, bytes) else bytes(payload)
            at = end
        if at < size:
            self._hold(data[at:])

    def _hold(self, data: bytes | memoryview) -> None:
        """Keep a part of a frame; crumbs are gathered, so that a trickle makes no long list."""
        self.held += len(data)
        if len(data) >= CRUMB:
            self._parts.append(bytes(data))
        elif self._parts and isinstance(last := self._parts[-1], bytearray):
            last += data
        else:
            self._parts.append(bytearray(data))

    def _taken(self) -> bytes:
        """What was held, in one piece; nothing is held any more."""
        data = b"".join(self._parts)
        self._parts.clear()
        self.held = 0
        return data
