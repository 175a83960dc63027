"""Rules for header fields, written once for every process.

RFC 9110, 5.1 and 5.5 (names and values), 7.6.1 (hop-by-hop fields); RFC 9112, 6 (framing).
"""

import re
from functools import lru_cache

from .errors import StreamViolation
from .messages import Field, Fields, Head

_is_token = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_is_value = re.compile(rb"[\t\x20-\x7e\x80-\xff]*").fullmatch
_MOST_DIGITS = 18

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
        b"proxy-authenticate",
        b"proxy-authorization",
    }
)
"""Fields that speak to the next hop only (RFC 9110, 7.6.1). `trailer` is judged where the trailers are."""

RESERVED_PREFIX = b"x-dialback-"
RUN_TICKET = b"x-dialback-run"
INVOCATION_ID = b"x-dialback-id"

MAX_FIELDS = 128
MAX_BYTES = 64 * 1024
MAX_PART = 0xFFFF
"""Bytes of one name or value: a frame states the length of each in 16 bits."""

BODYLESS = frozenset({204, 304})
"""Statuses whose answers never have a body (RFC 9112, 6.3)."""


def is_token(name: bytes) -> bool:
    """Whether `name` is a token (RFC 9110, 5.6.2)."""
    return _is_token(name) is not None


def is_value(value: bytes) -> bool:
    """Whether `value` has no CR, LF, NUL or other control character (RFC 9110, 5.5)."""
    return _is_value(value) is not None


def content_length(value: bytes) -> int | None:
    """The number that a Content-Length states, or None when it is not plain digits."""
    return int(value) if value.isdigit() and len(value) <= _MOST_DIGITS else None


def named_by_connection(fields: Fields) -> frozenset[bytes]:
    """The names that `Connection` fields list, in lower case (RFC 9110, 7.6.1)."""
    return frozenset(
        part.strip().lower() for name, value in fields if name == b"connection" for part in value.split(b",")
    )


def end_to_end(fields: Fields, keep: frozenset[bytes] = frozenset()) -> Fields:
    """`fields` without hop-by-hop fields, what `Connection` names, and Dialback's reserved names (except `keep`)."""
    dropped = HOP_BY_HOP
    if b"connection" in [name for name, _ in fields]:
        dropped |= named_by_connection(fields)
    kept = [
        field
        for field in fields
        if not (field[0] in dropped or field[0].startswith(RESERVED_PREFIX)) or field[0] in keep
    ]
    return fields if len(kept) == len(fields) else tuple(kept)


def check_fields(fields: Fields) -> None:
    """Raise StreamViolation unless every field could be written to an HTTP/1.1 peer as it stands."""
    check_size(fields)
    for name, value in fields:
        if not _is_token(name):
            raise StreamViolation(f"header name {_shown(name)} is not a token")
        if not _is_value(value):
            raise StreamViolation(f"header {_shown(name)} has a control character in its value")


def check_size(fields: Fields) -> None:
    """Raise StreamViolation when there are more fields, or more bytes of them, than may be relayed."""
    if len(fields) > MAX_FIELDS:
        raise StreamViolation(f"{len(fields)} header fields; {MAX_FIELDS} at most")
    size = 0
    for name, value in fields:
        size += len(name) + len(value)
    if size > MAX_BYTES:
        raise StreamViolation(f"{size} bytes of header fields; {MAX_BYTES} at most")
    if size > MAX_PART and any(max(len(name), len(value)) > MAX_PART for name, value in fields):
        raise StreamViolation(f"a header name or value of {size} bytes; {MAX_PART} at most")


def check_response_head(head: Head) -> tuple[Head, int | None]:
    """A response head made fit to be relayed, and its Content-Length if it has one.

    Names are lowered, hop-by-hop and reserved fields dropped. Raises StreamViolation for a head that must not reach a
    client: a status outside 200-599, a name or value that could break the framing, more than one Content-Length or one
    that is no number, too many or too large fields.
    """
    status, came = head
    if not 200 <= status <= 599:
        raise StreamViolation(f"status {status} is outside 200-599")
    check_size(came)
    # All values at once; only a head that must be refused is looked at one by one.
    sound = _is_value(b"".join([value for _, value in came]))
    fields: list[Field] = []
    lengths: list[bytes] = []
    named: frozenset[bytes] = frozenset()
    for name, value in came:
        lowered, passes = _judged(name) if len(name) <= _REMEMBERED_NAME else _judge(name)
        if not sound and not _is_value(value):
            raise StreamViolation(f"header {_shown(lowered)} has a control character in its value")
        if passes:
            fields.append((lowered, value))
            if lowered == b"content-length":
                lengths.append(value)
        elif lowered == b"connection":
            named |= named_by_connection(((lowered, value),))
    if named:
        fields = [field for field in fields if field[0] not in named]
        lengths = [value for name, value in fields if name == b"content-length"]
    if not lengths:
        return Head(status, tuple(fields)), None
    length = content_length(lengths[0])
    if len(lengths) > 1 or length is None:
        raise StreamViolation(f"Content-Length {b', '.join(lengths)[:80].decode('latin-1')!r} is not one number")
    if status == 204:
        # RFC 9110, 8.6: a 204 carries no Content-Length.
        return Head(204, tuple(field for field in fields if field[0] != b"content-length")), None
    return Head(status, tuple(fields)), length


def _judge(name: bytes) -> tuple[bytes, bool]:
    """The name in lower case, and whether a field of this name may go on to the client. Raises StreamViolation."""
    lowered = name.lower()
    if not _is_token(lowered):
        raise StreamViolation(f"header name {_shown(lowered)} is not a token")
    return lowered, not (lowered in HOP_BY_HOP or lowered.startswith(RESERVED_PREFIX))


_REMEMBERED_NAME = 64
_judged = lru_cache(maxsize=1024)(_judge)
"""The same, remembered: nearly all responses have the same few names, and these are short."""


def has_body(method: bytes, status: int) -> bool:
    """Whether an answer with `status` to `method` has a body on the wire (RFC 9112, 6.3)."""
    return method != b"HEAD" and status not in BODYLESS


def first(fields: Fields, name: bytes) -> bytes | None:
    """The first value of the field `name` (in lower case), or None."""
    for key, value in fields:
        if key == name:
            return value
    return None


def without(fields: Fields, *names: bytes) -> Fields:
    """`fields` without those of these names."""
    return tuple(field for field in fields if field[0] not in names)


def _shown(name: bytes) -> str:
    return repr(name[:60].decode("latin-1"))


__all__ = [
    "BODYLESS",
    "HOP_BY_HOP",
    "INVOCATION_ID",
    "MAX_BYTES",
    "MAX_FIELDS",
    "MAX_PART",
    "RESERVED_PREFIX",
    "RUN_TICKET",
    "Field",
    "Fields",
    "check_fields",
    "check_response_head",
    "check_size",
    "content_length",
    "end_to_end",
    "first",
    "has_body",
    "is_token",
    "is_value",
    "named_by_connection",
    "without",
]
