"""A request as its invocation's record keeps it: enough to send it again, and no credential.

Kept are method, target, authority, the client's own header fields and, up to a limit, the body. What the edge sets
anew for every request (forwarding fields, trace context, framing) is not kept. Fields that carry credentials are kept
by name only, so that whoever sends the request again knows what was left out.
"""

import base64
import re
from functools import lru_cache

from dialback_wire.fields import RESERVED_PREFIX
from dialback_wire.messages import Request

LONGEST_BODY = 64 * 1024
"""Bytes of a body that are kept; the same as travel inline."""
HELD_BODIES = 16 * 1024 * 1024
"""Bytes of bodies that are held in memory for records of invocations that still run."""
REDACTED = "[redacted]"

_SECRET = re.compile(
    r"(?:^|[-_])(?:auth|authorization|cookie|credentials?|csrf|jwt|pass(?:word|wd)?|secret|session|signature|tokens?"
    r"|xsrf|(?:api|access|secret|private)[-_]?key)(?:$|[-_])",
    re.ASCII,
)
_MADE_ANEW = frozenset({b"content-length", b"expect", b"forwarded", b"host", b"traceparent", b"tracestate"})
_MADE_ANEW_PREFIXES = (b"x-forwarded-", RESERVED_PREFIX)


@lru_cache(maxsize=512)
def is_secret(name: str) -> bool:
    """Whether a field of this name (in lower case) carries a credential, as far as its name tells."""
    return _SECRET.search(name) is not None


class BodyRoom:
    """How much of the bodies of running invocations is held; what finds no room is not kept."""

    def __init__(self, size: int = HELD_BODIES) -> None:
        self._left = size

    def take(self, size: int) -> bool:
        """Room for `size` bytes, to be given back; False when the body is too long or there is no room."""
        if size > LONGEST_BODY or size > self._left:
            return False
        self._left -= size
        return True

    def give_back(self, size: int) -> None:
        """A body is held no more."""
        self._left += size


def recorded(request: Request, body: bytes | None) -> dict[str, object]:
    """What a trace says of its request. `body` is None when it streamed, was too long, or was never read."""
    headers: list[tuple[str, str]] = []
    left_out: dict[str, None] = {}
    for raw_name, raw_value in request.fields:
        if raw_name in _MADE_ANEW or raw_name.startswith(_MADE_ANEW_PREFIXES):
            continue
        name = raw_name.decode("latin-1")
        if is_secret(name):
            left_out[name] = None
        else:
            headers.append((name, _text(raw_value)))
    if request.body_length == 0:
        body = b""
    text = None if body is None else _utf8(body)
    return {
        "method": request.method.decode("latin-1"),
        "target": request.target.decode("latin-1"),
        "authority": request.authority.decode("latin-1"),
        "headers": headers,
        "left_out": list(left_out),
        "body_kept": body is not None,
        "body_bytes": request.body_length if body is None else len(body),
        "body": base64.b64encode(body).decode() if body is not None and text is None else text,
        "base64": body is not None and text is None,
    }


def body_of(record: dict[str, object]) -> bytes | None:
    """The body that `recorded` kept, or None when it did not."""
    text = record.get("body")
    if not record.get("body_kept") or not isinstance(text, str):
        return None
    return base64.b64decode(text) if record.get("base64") else text.encode()


def _utf8(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _text(value: bytes) -> str:
    """A field's value; RFC 9110, 5.5 leaves bytes beyond ASCII open, and most who send some send UTF-8."""
    text = _utf8(value)
    return value.decode("latin-1") if text is None else text
