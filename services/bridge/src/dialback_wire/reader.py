"""Bytes to frames, however the carrier cut them."""

from collections.abc import Iterator

from .errors import FramingError
from .frames import HEADER_BYTES, HELLO_LIMIT, unpack_header

RawFrame = tuple[int, int, bytes]
"""Type, stream, payload."""


class FrameReader:
    """Collects bytes and gives out whole frames.

    Holds at most one incomplete frame. `max_frame` bounds a payload, in bytes; the owner raises it when the greeting is
    over, which takes effect for the very next frame.
    """

    __slots__ = ("_held", "_need", "max_frame")

    def __init__(self) -> None:
        self.max_frame = HELLO_LIMIT
        self._held = bytearray()
        self._need = HEADER_BYTES

    @property
    def held(self) -> int:
        """Bytes of the incomplete frame that waits for its rest."""
        return len(self._held)

    def feed(self, data: bytes) -> Iterator[RawFrame]:
        """The frames that are complete with `data`; to be used up before the next call.

        Raises FramingError, behind the frames that came before it, for a frame that is too large.
        """
        if self._held:
            self._held += data
            if len(self._held) < self._need:
                return
            # A copy for each time that a frame became whole, so its cost stays in proportion to the bytes that came.
            data = bytes(self._held)
            self._held.clear()
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
            self._held += data[at:] if at else data
