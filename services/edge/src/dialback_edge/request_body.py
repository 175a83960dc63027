"""Request bodies taken out of their framing, sans-I/O: bytes in, body bytes and what follows them out."""

import re

from dialback_wire.fields import is_token, is_value

from .errors import Rejected

# RFC 9112, 7.1: chunk-size [ chunk-ext ] CRLF. Extensions are read over.
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_LINE_LIMIT = 256
_TRAILER_LIMIT = 16 * 1024
_TRAILER_LINE_LIMIT = 8 * 1024


class LengthBody:
    """A body of as many bytes as Content-Length says."""

    __slots__ = ("remaining",)

    def __init__(self, length: int) -> None:
        self.remaining: int | None = length

    @property
    def done(self) -> bool:
        """Whether the whole body was seen."""
        return self.remaining == 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """The part of `data` that belongs to the body, and what comes after the body."""
        remaining = self.remaining or 0
        if len(data) <= remaining:
            self.remaining = remaining - len(data)
            return data, b""
        self.remaining = 0
        return data[:remaining], data[remaining:]


class ChunkedBody:
    """A chunked body (RFC 9112, 7.1). Extensions and trailers are checked and dropped."""

    __slots__ = ("_left", "_line", "_step", "_trailer_bytes", "done", "remaining")

    def __init__(self) -> None:
        self.done = False
        self.remaining: int | None = None
        """Not known for a chunked body."""
        self._step = self._size
        self._left = 0
        self._line = b""
        self._trailer_bytes = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """The body's bytes in `data`, and what comes after the body. Raises Rejected (400) for broken framing."""
        if self._line:
            data, self._line = self._line + data, b""
        pieces: list[bytes] = []
        at = 0
        while not self.done:
            then = self._step(data, at, pieces)
            if then < 0:
                break
            at = then
        if not self.done:
            return b"".join(pieces), b""
        return b"".join(pieces), data[at:]

    # Each step takes what it can at an offset and returns the next offset, or -1 when it needs more bytes.

    def _size(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        end = self._find_line(data, at, _LINE_LIMIT)
        if end < 0:
            return -1
        match = _SIZE_LINE.fullmatch(data, at, end)
        if match is None:
            raise _broken("a chunk's size line is malformed")
        self._left = int(match[1], 16)
        self._step = self._data if self._left else self._trailer
        return end + 2

    def _data(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        piece = data[at : at + self._left]
        if not piece:
            return -1
        pieces.append(piece)
        self._left -= len(piece)
        if not self._left:
            self._step = self._data_end
        return at + len(piece)

    def _data_end(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        end = data[at : at + 2]
        if not b"\r\n".startswith(end):
            raise _broken("a chunk is longer than its size says")
        if len(end) < 2:
            self._line = end
            return -1
        self._step = self._size
        return at + 2

    def _trailer(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        end = self._find_line(data, at, _TRAILER_LINE_LIMIT)
        if end < 0:
            return -1
        if end == at:
            self.done = True
            return end + 2
        name, colon, value = data[at:end].partition(b":")
        self._trailer_bytes += end - at
        if not colon or not is_token(name) or not is_value(value) or self._trailer_bytes > _TRAILER_LIMIT:
            raise _broken("a trailer field is malformed or too large")
        return end + 2

    def _find_line(self, data: bytes, at: int, limit: int) -> int:
        end = data.find(b"\r\n", at, at + limit)
        if end >= 0:
            return end
        rest = data[at : at + limit]
        if len(rest) == limit or b"\n" in rest or b"\0" in rest:
            raise _broken("a line is too long or ends with a bare line feed")
        self._line = rest
        return -1


Body = LengthBody | ChunkedBody


def _broken(what: str) -> Rejected:
    return Rejected(400, "bad_chunk", f"The request's chunked body is broken: {what}.")
