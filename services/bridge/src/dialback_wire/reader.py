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

    __slots__ = ("_need", "_parts", "held", "max_frame")

    def __init__(self) -> None:
        self.max_frame = HELLO_LIMIT
        self.held = 0
        """Bytes of the incomplete frame that waits for its rest."""
        self._parts: list[bytes | bytearray] = []
        self._need = HEADER_BYTES

    def feed(self, data: bytes) -> Iterator[RawFrame]:
        """The frames that are complete with `data`; to be used up before the next call.

        Raises FramingError, behind the frames that came before it, for a frame that is too large.
        """
        if self.held:
            self._hold(data)
            if self.held < self._need:
                return
            # One copy for each time that a frame became whole: its cost stays in proportion to the bytes that came.
            data = b"".join(self._parts)
            self._parts.clear()
            self.held = 0
        at, size = 0, len(data)
        need = HEADER_BYTES
        while size - at >= HEADER_BYTES:
            word, stream = unpack_header(data, at)
            length = word & 0xFF_FFFF
            if length > self.max_frame:
                raise FramingError(f"a frame of {length} bytes; {self.max_frame} at most")
            end = at + HEADER_BYTES + length
            if end > size:
                need = HEADER_BYTES + length
                break
            yield word >> 24, stream, data[at + HEADER_BYTES : end]
            at = end
        self._need = need
        if at < size:
            self._hold(data[at:] if at else data)

    def _hold(self, data: bytes) -> None:
        """Keep a part of a frame as it came; crumbs are gathered, so that a trickle makes no long list."""
        self.held += len(data)
        if len(data) >= CRUMB:
            self._parts.append(data)
        elif self._parts and isinstance(last := self._parts[-1], bytearray):
            last += data
        else:
            self._parts.append(bytearray(data))
