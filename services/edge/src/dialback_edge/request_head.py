"""What a request's head means, once its syntax is known: framing, Host, persistence, expectations.

RFC 9112, 3.2 (Host and target forms), 6 (framing), 9.3 (persistence); RFC 9110, 10.1.1 (Expect).
"""

import re
from dataclasses import dataclass

from dialback_wire.fields import content_length
from dialback_wire.messages import Field, Fields

from .errors import Rejected
from .http_parser import check_coding

_AUTHORITY = re.compile(
    rb"(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,253})|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?",
)
_ABSOLUTE = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE | re.DOTALL)
_FRAMING = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"te", b"accept", b"traceparent"}
)
_ONCE = frozenset({b"host", b"content-length", b"transfer-encoding"})

_known_authorities: dict[bytes, bytes] = {}
_KNOWN_AT_MOST = 1024


@dataclass(slots=True)
class RequestHead:
    """One request's head, checked."""

    method: bytes
    target: bytes
    """Origin-form, or `*`."""
    minor: int
    """0 or 1, of HTTP/1.x."""
    authority: bytes
    """The Host in lower case; empty when an HTTP/1.0 client sent none."""
    fields: list[Field]
    """All of them, as they came, names in lower case."""
    body_length: int | None
    """0: no body; n: Content-Length; None: chunked."""
    has_length: bool
    """Whether there was a Content-Length; `body_length` 0 may also mean that nothing was said."""
    keep_alive: bool
    expects_continue: bool
    takes_trailers: bool
    connection: bytes
    """The `Connection` field's value in lower case."""
    accept: bytes
    traceparent: bytes
    """As it came, if it did."""
    relayed: tuple[Fields, bytes, bool] | None = None
    """What `forwarded` made of the fields, for the next request of the connection, which may have the same."""

    @property
    def path(self) -> bytes:
        """The target without its query, which may hold secrets."""
        return self.target.partition(b"?")[0]

    def again(self, method: bytes, target: bytes) -> "RequestHead":
        """The head with the same fields behind another request line, whose target is in origin-form as this one's."""
        return RequestHead(
            method,
            target,
            self.minor,
            self.authority,
            self.fields,
            self.body_length,
            self.has_length,
            self.keep_alive,
            self.expects_continue,
            self.takes_trailers,
            self.connection,
            self.accept,
            self.traceparent,
            self.relayed,
        )


def read_head(method: bytes, target: bytes, minor: int, fields: list[Field]) -> RequestHead:
    """Check what a head says. Raises Rejected."""
    found: dict[bytes, bytes] = {}
    for name, value in fields:
        if name in _FRAMING:
            if name in found:
                if name in _ONCE:
                    raise Rejected(400, "bad_request", f"The request has more than one {name.decode()} field.")
                value = found[name] + b", " + value
            found[name] = value
    target, authority = _where(method, target, minor, found.get(b"host"))
    connection = found.get(b"connection", b"").lower()
    options = [option.strip() for option in connection.split(b",")] if connection else []
    return RequestHead(
        method=method,
        target=target,
        minor=minor,
        authority=authority,
        fields=fields,
        body_length=_body_length(minor, found.get(b"content-length"), found.get(b"transfer-encoding")),
        has_length=b"content-length" in found,
        keep_alive=b"close" not in options and (minor == 1 or b"keep-alive" in options),
        expects_continue=minor == 1 and _expects_continue(found.get(b"expect")),
        takes_trailers=minor == 1 and _takes_trailers(found.get(b"te")),
        connection=connection,
        accept=found.get(b"accept", b""),
        traceparent=found.get(b"traceparent", b""),
    )


def check_authority(value: bytes) -> bytes:
    """A valid Host in lower case. Raises Rejected for an empty one, a path, userinfo, a list, a port out of range."""
    known = _known_authorities.get(value)
    if known is not None:
        return known
    match = _AUTHORITY.fullmatch(value)
    if match is None or int(match[1] or 0) > 65535:
        raise Rejected(400, "bad_host", "The request's Host is not a host name or address with an optional port.")
    if len(_known_authorities) >= _KNOWN_AT_MOST:
        _known_authorities.clear()
    return _known_authorities.setdefault(value, value.lower())


def _where(method: bytes, target: bytes, minor: int, host: bytes | None) -> tuple[bytes, bytes]:
    """Target in origin-form and authority."""
    if host is None and minor == 1:
        raise Rejected(400, "bad_host", "The request has no Host.")
    authority = b"" if host is None else check_authority(host)
    if target.startswith(b"/"):
        return target, authority
    if target == b"*" and method == b"OPTIONS":
        return target, authority
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise Rejected(400, "bad_target", "The request's target is neither a path nor an http URL.")
    # RFC 9112, 3.2.2 lets the URL win over Host. When both are there and differ, somebody on the way may have judged
    # the other one, so the request is refused.
    named = check_authority(absolute[1])
    if host is not None and named != authority:
        raise Rejected(400, "bad_host", "The request's Host and its target name different hosts.")
    rest = absolute[2]
    return (rest if rest.startswith(b"/") else b"/" + rest), named


def _body_length(minor: int, length: bytes | None, coding: bytes | None) -> int | None:
    if coding is None:
        if length is None:
            return 0
        number = content_length(length)
        if number is None:
            raise Rejected(400, "bad_framing", "The request's Content-Length is not a number.")
        return number
    # RFC 9112, 6.1 and 6.3: both fields, or a coding from an HTTP/1.0 client, may be an attempt at smuggling.
    if length is not None:
        raise Rejected(400, "bad_framing", "The request has both a Content-Length and a Transfer-Encoding.")
    if minor == 0:
        raise Rejected(400, "bad_framing", "HTTP/1.0 has no Transfer-Encoding.")
    check_coding(coding)
    return None


def _expects_continue(expect: bytes | None) -> bool:
    if expect is None:
        return False
    if expect.lower() != b"100-continue":
        raise Rejected(417, "expectation_failed", "The only expectation that is understood is 100-continue.")
    return True


def _takes_trailers(te: bytes | None) -> bool:
    return te is not None and any(part.partition(b";")[0].strip() == b"trailers" for part in te.lower().split(b","))
