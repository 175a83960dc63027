"""What the frames carry, as small frozen values that pass between the layers.

Most of those that are made for every request are named tuples: a frozen dataclass costs three times as much to make.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

Field = tuple[bytes, bytes]
"""A header or trailer field: the name in lower case, the value."""

Fields = tuple[Field, ...]


class Verdict(IntEnum):
    """How one direction of a stream ended. Only OK is a success; a missing END is never one."""

    OK = 0
    ERROR = 1
    """The function failed."""
    TRUNCATED = 2
    """The source of the bytes went away before it had finished."""
    CANCELLED = 3
    """The asker did not want the rest."""
    TIMEOUT = 4
    PROTOCOL = 5
    """The other side broke the protocol on this stream."""
    OVERLOAD = 6
    UNAVAILABLE = 7


class Reason(IntEnum):
    """Why an asker cancels."""

    CLIENT_GONE = 1
    TIMEOUT_START = 2
    TIMEOUT_HEAD = 3
    TIMEOUT_IDLE = 4
    TIMEOUT_TOTAL = 5
    SHUTDOWN = 6
    PROTOCOL = 7
    NO_BODY = 8
    """The answer to HEAD, or a 204 or 304, has no body: nobody will read what follows."""
    OVERFLOW = 9
    """More bytes than the answer's Content-Length announced."""
    KILLED = 10


class Refusal(IntEnum):
    """Why a stream was not let in."""

    UNAUTHORIZED = 401
    CONFLICT = 409
    GONE = 410
    UNAVAILABLE = 503


class Request(NamedTuple):
    """A client's request as the edge relays it."""

    id: str
    method: bytes
    target: bytes
    """As received: origin-form, still percent-encoded, or `*`."""
    authority: bytes
    """The validated Host, in lower case, with the port if there was one."""
    fields: Fields
    """End-to-end fields; hop-by-hop and reserved ones are gone, `x-forwarded-*` are set."""
    scheme: bytes
    http_version: bytes
    peer: bytes
    """The client's address, `ip:port`."""
    body_length: int | None
    """0: no body; n: Content-Length; None: chunked, length unknown."""
    age_us: int = 0
    """Microseconds since the edge saw the request's first byte, when it was sent on."""


class Head(NamedTuple):
    """The head of a response."""

    status: int
    fields: Fields


class Info(NamedTuple):
    """An interim response, 1xx (RFC 9110, 15.2)."""

    status: int
    fields: Fields


class End(NamedTuple):
    """The last word of one direction of a stream."""

    verdict: Verdict
    count: int = 0  # type: ignore[assignment]  # tuple's own method of this name is not used
    """Bytes of DATA that were sent in this direction."""
    status: int = 0
    """The HTTP status that the client should get when no head was sent; 0 leaves it to the receiver."""
    code: str = ""
    """A short machine-readable word, such as `handler_error`."""
    detail: str = ""
    retry_after: int = 0
    """Seconds; 0: not said."""


class Invoke(NamedTuple):
    """An invocation that the receiver hands to a bridge over the socket that the bridge opened."""

    invocation: str
    deadline_ms: int
    """Unix milliseconds; 0: none."""
    event: bytes
    """The stamped payload, as the runtime API would hand it out."""


class Accept(NamedTuple):
    """A token was accepted."""

    resume_token: bytes
    body: bool
    """Whether the request's body follows on this stream."""


@dataclass(frozen=True, slots=True)
class Hello:
    """A side's first frame: who it is and what it takes."""

    major: int
    minor: int
    seat: int
    max_frame: int
    window: int
    max_streams: int
    nonce: bytes = b""
    """Random bytes when this side asks for a proof of the shared key; empty when it does not."""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What this side takes from the other."""

    max_frame: int = 128 * 1024
    """Bytes of a frame's payload."""
    window: int = 64 * 1024
    """Bytes of credit that each stream starts with."""
    max_window: int = 1024 * 1024
    """Bytes that a fast reader's window grows to."""
    max_streams: int = 10_000
