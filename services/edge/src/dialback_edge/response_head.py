"""A response's head, judged and as it is written."""

from collections.abc import Iterable
from http import HTTPStatus

from dialback_wire.fields import check_response_head
from dialback_wire.messages import Field, Head

_STATUS_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}


class ResponseHead:
    """What of a head does not depend on the request. Made once for answers of a connection that begin the same."""

    __slots__ = ("came", "dated", "fields", "length", "lines", "status", "tells_trailers")

    def __init__(self, head: Head) -> None:
        """Raises StreamViolation when `head` must not reach a client."""
        self.came = head
        (self.status, self.fields), self.length = check_response_head(head)
        """`length`: the Content-Length, if there is one."""
        named = dict(self.fields)
        self.dated = b"date" in named
        self.tells_trailers = b"trailer" in named
        self.lines = status_line(self.status) + field_lines(self.fields)
        """Status line and fields."""


def status_line(status: int) -> bytes:
    """The line that begins a response."""
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def field_lines(fields: Iterable[Field]) -> bytes:
    """A line for each field."""
    return b"".join([b"%b: %b\r\n" % field for field in fields])
