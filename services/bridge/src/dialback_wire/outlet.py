"""How frames leave a mux: as bytes for a carrier, or as they are for the other end in the same process."""

from collections.abc import Callable
from typing import Protocol

from .frames import FrameType, frame, pack_header
from .reader import RawFrame

MAX_WRITE = 512 * 1024
"""Most bytes in one write, because a carrier's messages are bounded."""

LARGE = 16 * 1024
"""Bytes of a part that is not worth a copy: a stream's carrier gets it as it is, between others."""

_DATA = int(FrameType.DATA)


class Outlet(Protocol):
    """Frames wait here, in order, until they leave."""

    def __len__(self) -> int:
        """How much waits, in frames or parts of them."""

    def put(self, kind: int, stream: int, payload: bytes) -> None:
        """Queue a frame."""

    def put_data(self, stream: int, count: int, pieces: list[bytes | bytearray]) -> None:
        """Queue a frame of DATA, `count` bytes in `pieces`."""

    def leave(self) -> None:
        """Hand on what waits."""

    def drop(self) -> None:
        """Forget what waits."""


class _Encoded:
    """Frames as bytes."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: list[bytes | bytearray] = []
        """Encoded frames; those of DATA in several parts."""

    def __len__(self) -> int:
        return len(self.parts)

    def put(self, kind: int, stream: int, payload: bytes) -> None:
        self.parts.append(frame(kind, stream, payload))

    def put_data(self, stream: int, count: int, pieces: list[bytes | bytearray]) -> None:
        self.parts.append(pack_header(_DATA << 24 | count, stream))
        self.parts += pieces

    def drop(self) -> None:
        self.parts.clear()


class ByteOutlet(_Encoded):
    """For a carrier of messages, which is written to as seldom as their size allows."""

    __slots__ = ("_write",)

    def __init__(self, write: Callable[[bytes], None]) -> None:
        super().__init__()
        self._write = write

    def leave(self) -> None:
        parts, self.parts = self.parts, []
        data = b"".join(parts)
        for at in range(0, len(data), MAX_WRITE):
            self._write(data[at : at + MAX_WRITE])


class PartsOutlet(_Encoded):
    """For a carrier that is a stream of bytes: it sends several parts in one go, so that large ones are not copied."""

    __slots__ = ("_large", "_write")

    def __init__(self, write: Callable[[list[bytes | bytearray]], None]) -> None:
        super().__init__()
        self._write = write
        self._large = False

    def put_data(self, stream: int, count: int, pieces: list[bytes | bytearray]) -> None:
        super().put_data(stream, count, pieces)
        if count >= LARGE:
            self._large = True

    def leave(self) -> None:
        if not self.parts:
            return
        parts, self.parts = self.parts, []
        if self._large:
            self._large = False
            self._write(_gathered(parts))
        else:
            self._write([b"".join(parts)])


def _gathered(parts: list[bytes | bytearray]) -> list[bytes | bytearray]:
    """The same bytes; what lies between large parts is joined."""
    gathered: list[bytes | bytearray] = []
    small: list[bytes | bytearray] = []
    for part in parts:
        if len(part) < LARGE:
            small.append(part)
            continue
        if small:
            gathered.append(b"".join(small))
            small.clear()
        gathered.append(part)
    if small:
        gathered.append(b"".join(small))
    return gathered


class FrameOutlet:
    """For another mux in this process: no header is made or read, and no byte of a body is copied."""

    __slots__ = ("_frames", "_hand")

    def __init__(self, hand: Callable[[list[RawFrame]], None]) -> None:
        self._hand = hand
        self._frames: list[RawFrame] = []

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, kind: int, stream: int, payload: bytes) -> None:
        self._frames.append((int(kind), stream, payload))

    def put_data(self, stream: int, count: int, pieces: list[bytes | bytearray]) -> None:
        self._frames.append((_DATA, stream, b"".join(pieces)))

    def leave(self) -> None:
        frames, self._frames = self._frames, []
        self._hand(frames)

    def drop(self) -> None:
        self._frames.clear()
