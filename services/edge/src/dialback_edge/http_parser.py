"""From bytes to the parts of one request's head, strictly.

llhttp (through httptools) parses the fields and refuses what is malformed in them: bare CR and LF, NUL, obs-fold,
spaces before the colon, more than one Content-Length. What it lets pass is refused here and in `request_head`; what is
unbounded in it is bounded here. It is fed exactly one head at a time, so it never sees a body or a pipelined request.
"""

import re

import httptools

from dialback_wire.fields import is_value
from dialback_wire.messages import Field

from .errors import Rejected
from .settings import EdgeLimits

ALLOWED = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
ALLOW = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_FORBIDDEN = frozenset({b"TRACE", b"CONNECT"})

# RFC 9112, 3: method SP request-target SP HTTP-version. A fragment is no part of a target; visible ASCII only.
_REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!\"$-~]+) HTTP/([0-9])\.([0-9])\r\n")
_CODING = re.compile(rb"\r\ntransfer-encoding:[ \t]*([^\r\n]*)\r\n", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length[ \t]*:", re.IGNORECASE)
_LETTER = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


class _Collector:
    """What httptools calls back."""

    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields: list[Field] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value.rstrip(b" \t")))


def check_unfinished(received: bytes, searched: int, limits: EdgeLimits) -> None:
    """Look at a head whose end has not come; `searched` bytes were looked at before.

    Raises Rejected (400, 414, 431) as soon as no byte to come could help.
    """
    if received[0] not in _LETTER:
        raise Rejected(400, "bad_request", "The request does not start with a method.")
    line_feed = received.find(b"\n", searched)
    while line_feed >= 0:
        if line_feed == 0 or received[line_feed - 1] != 0x0D:
            raise Rejected(400, "bad_request", "A line of the request's head ends with a bare line feed.")
        line_feed = received.find(b"\n", line_feed + 1)
    if received.find(b"\0", searched) >= 0:
        raise Rejected(400, "bad_request", "There is a NUL in the request's head.")
    if len(received) >= limits.request_line and received.find(b"\n", 0, limits.request_line) < 0:
        raise _too_large(received, limits)
    if len(received) > limits.head:
        raise _too_large(received, limits)


def _too_large(received: bytes, limits: EdgeLimits) -> Rejected:
    if received.find(b"\n", 0, limits.request_line) < 0:
        return Rejected(414, "uri_too_long", f"The request line is longer than {limits.request_line} bytes.")
    return Rejected(431, "head_too_large", f"The request's head is larger than {limits.head} bytes.")


def parse_line(head: bytes, limits: EdgeLimits) -> tuple[bytes, bytes, int, int]:
    """Method, target and HTTP minor version of a whole head, and where its fields begin.

    Raises Rejected: 400, 405, 414, 431, 501, 505.
    """
    if len(head) > limits.head:
        raise _too_large(head, limits)
    line = _REQUEST_LINE.match(head)
    if line is None:
        if head.find(b"\n", 0, limits.request_line) < 0:
            raise _too_large(head, limits)
        raise Rejected(400, "bad_request", "The request line is malformed.")
    end = line.end()
    if end > limits.request_line:
        raise _too_large(head, limits)
    method, target, major, minor = line.groups()
    if major != b"1" or minor not in b"01":
        raise Rejected(505, "http_version", "Only HTTP/1.0 and HTTP/1.1 are spoken here.")
    if method not in ALLOWED:
        if method in _FORBIDDEN:
            raise Rejected(405, "method_not_allowed", f"{method.decode()} is not allowed here.")
        raise Rejected(501, "method_unknown", "The request's method is not known here.")
    return method, target, minor[0] - 0x30, end


def parse_fields(head: bytes, limits: EdgeLimits) -> list[Field]:
    """The fields of a whole head, names in lower case. Raises Rejected: 400, 431, 501."""
    if head.count(b"\n") - 2 > limits.fields:
        raise Rejected(431, "too_many_fields", f"The request has more than {limits.fields} header fields.")
    collector = _Collector()
    try:
        httptools.HttpRequestParser(collector).feed_data(head)
    except httptools.HttpParserUpgrade:
        # RFC 9110, 7.8: an Upgrade that is not served is ignored. The body, if any, is not given to this parser.
        pass
    except httptools.HttpParserError as error:
        codings = _CODING.findall(head)
        if len(codings) == 1 and not _LENGTH.search(head):
            check_coding(codings[0])
        raise Rejected(400, "bad_request", f"The request's head is malformed: {error}.") from error
    return collector.fields


def check_coding(value: bytes) -> None:
    """Pass for `chunked` alone.

    RFC 9112, 6.1: other codings are not understood (501); a list that cannot mean anything is malformed (400).
    """
    codings = [coding.strip(b" \t") for coding in value.lower().split(b",")]
    if codings == [b"chunked"]:
        return
    if b"" in codings or codings.count(b"chunked") > 1 or not is_value(value):
        raise Rejected(400, "bad_framing", "The request's Transfer-Encoding is malformed.")
    raise Rejected(501, "transfer_encoding", "The only transfer coding that is understood is chunked.")
