"""Responses put into HTTP/1.1 framing, sans-I/O: head, data and end in, bytes for the client out.

RFC 9112, 6.3 and 7.1 (framing), 9.6 (what a close means); RFC 9110, 6.5 (trailers), 8.6 (Content-Length).
"""

import time
from email.utils import formatdate
from enum import Enum

from dialback_wire.errors import StreamViolation
from dialback_wire.fields import check_fields, end_to_end, has_body, without
from dialback_wire.messages import Fields, Info

from .request_head import RequestHead
from .response_head import ResponseHead, field_lines, status_line

_NO_TRAILERS: frozenset[bytes] = frozenset()

# RFC 9110, 6.5.1: not what frames or routes the message, says who asks, or steers how the answer is used.
_NEVER_TRAILERS = frozenset(
    {
        b"content-length",
        b"content-encoding",
        b"content-type",
        b"content-range",
        b"trailer",
        b"host",
        b"authorization",
        b"set-cookie",
        b"www-authenticate",
        b"cache-control",
        b"expires",
        b"location",
        b"date",
        b"retry-after",
        b"vary",
        b"age",
    }
)


class Framing(Enum):
    """How the client knows where the body ends."""

    NONE = "no body"
    LENGTH = "Content-Length"
    CHUNKED = "chunked"
    CLOSE = "the connection's end"


class _Clock:
    """The Date field, made once a second."""

    __slots__ = ("_at", "_line")

    def __init__(self) -> None:
        self._at = -1
        self._line = b""

    def line(self) -> bytes:
        now = int(time.time())
        if now != self._at:
            self._at = now
            self._line = f"date: {formatdate(now, usegmt=True)}\r\n".encode()
        return self._line


_clock = _Clock()


class ResponseWriter:
    """The framing of one response to one request."""

    __slots__ = ("_method", "_minor", "_takes_trailers", "_trailers", "framing", "keep_alive", "overrun", "remaining")

    def __init__(self, request: RequestHead | None) -> None:
        self._method = b"GET" if request is None else request.method
        self._minor = 1 if request is None else request.minor
        self._takes_trailers = request is not None and request.takes_trailers
        self._trailers = _NO_TRAILERS
        self.framing = Framing.NONE
        self.keep_alive = request is not None and request.keep_alive
        """Whether the connection may be used again when this response is complete."""
        self.remaining = 0
        """Bytes of Content-Length that have not come yet."""
        self.overrun = False
        """Whether more came than Content-Length announced."""

    def begin(self, head: ResponseHead, request_id: str, close: bool) -> bytes:
        """The head. Raises StreamViolation when it must not reach a client."""
        status, length = head.status, head.length
        lines = [head.lines]
        if head.tells_trailers:
            lines = [status_line(status), field_lines(self._settle_trailers(head.fields))]
        if not has_body(self._method, status):
            self.framing = Framing.NONE
        elif status == 205:
            # RFC 9110, 15.3.6: no content. Said with a length, since 205 is not among the statuses that imply it.
            self.framing = Framing.LENGTH
            if length is None:
                lines.append(b"content-length: 0\r\n")
            elif length:
                raise StreamViolation("a 205 answer has no content")
        elif length is not None:
            self.framing = Framing.LENGTH
            self.remaining = length
        elif self._minor == 1:
            self.framing = Framing.CHUNKED
            lines.append(b"transfer-encoding: chunked\r\n")
        else:
            self.framing = Framing.CLOSE
            self.keep_alive = False
        if close:
            self.keep_alive = False
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        elif self._minor == 0:
            lines.append(b"connection: keep-alive\r\n")
        if not head.dated:
            lines.append(_clock.line())
        lines.append(b"x-dialback-id: %b\r\n\r\n" % request_id.encode())
        return b"".join(lines)

    def interim(self, info: Info) -> bytes:
        """A 1xx response. Raises StreamViolation when it must not reach a client; empty for an HTTP/1.0 client."""
        if self._minor == 0:
            return b""
        fields: Fields = tuple((name.lower(), value) for name, value in info.fields)
        check_fields(fields)
        kept = [field for field in end_to_end(fields) if field[0] not in (b"content-length", b"trailer")]
        return status_line(info.status) + field_lines(kept) + b"\r\n"

    def data(self, data: bytes) -> bytes:
        """A piece of the body in its framing; never more than Content-Length, never anything where there is no body."""
        framing = self.framing
        if framing is Framing.LENGTH:
            if len(data) > self.remaining:
                self.overrun = True
                self.keep_alive = False
                data = data[: self.remaining]
            self.remaining -= len(data)
            return data
        if framing is Framing.CHUNKED:
            # An empty chunk would be the last one.
            return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return data if framing is Framing.CLOSE else b""

    def finish(self, trailers: Fields) -> bytes | None:
        """What ends a complete body, or None when bytes are missing: then only closing tells the truth."""
        if self.framing is Framing.LENGTH and self.remaining:
            return None
        if self.framing is not Framing.CHUNKED:
            return b""
        if not self._trailers or not trailers:
            return b"0\r\n\r\n"
        fields: Fields = tuple((name.lower(), value) for name, value in trailers)
        try:
            check_fields(fields)
        except StreamViolation:
            return b"0\r\n\r\n"
        return b"0\r\n" + field_lines(field for field in fields if field[0] in self._trailers) + b"\r\n"

    def _settle_trailers(self, fields: Fields) -> Fields:
        """Announced trailers are kept for a client that takes them; else the announcement goes too."""
        if self._takes_trailers:
            announced = [value for name, value in fields if name == b"trailer"]
            names = frozenset(name.strip().lower() for value in announced for name in value.split(b","))
            self._trailers = frozenset(
                name for name, _ in end_to_end(tuple((name, b"") for name in names - _NEVER_TRAILERS))
            )
        fields = without(fields, b"trailer")
        if self._trailers:
            fields += ((b"trailer", b", ".join(sorted(self._trailers))),)
        return fields
