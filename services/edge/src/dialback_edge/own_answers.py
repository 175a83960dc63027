"""What the edge answers by itself, before anybody upstream hears of a request."""

import json

from dialback_wire.messages import Head

from .context import EdgeContext
from .errors import Rejected
from .http_parser import ALLOW
from .request_head import RequestHead

HEALTH = b"/_dialback/health"
_RESERVED = b"/_dialback/"


def own_answer(request: RequestHead, edge: EdgeContext) -> tuple[Head, bytes] | None:
    """The edge's own answer, or None for a request that is to be relayed. Raises Rejected."""
    if request.target == b"*":
        # RFC 9110, 9.3.7: OPTIONS * asks the server as a whole.
        return Head(204, ((b"allow", ALLOW),)), b""
    relayed = edge.hooks.relayed
    if request.target.startswith(_RESERVED) and not (relayed and request.target.startswith(relayed)):
        return _reserved(request, edge)
    settings = edge.settings
    if settings.authorities is not None and not is_served(request.authority, settings.authorities):
        raise Rejected(421, "misdirected", "This host is not served here.")
    limit = settings.limits.body
    if limit is not None and request.body_length is not None and request.body_length > limit:
        raise Rejected(413, "body_too_large", f"The request's body is larger than {limit} bytes.")
    return None


def is_served(authority: bytes, allowed: tuple[str, ...]) -> bool:
    """Whether a host, whatever its port, is in the allow-list; `.example.org` there means every name below it."""
    name, colon, port = authority.decode("latin-1").rpartition(":")
    if not colon or not port.isdigit():
        name = authority.decode("latin-1")
    return any(name == entry or (entry.startswith(".") and name.endswith(entry)) for entry in allowed)


def _reserved(request: RequestHead, edge: EdgeContext) -> tuple[Head, bytes]:
    if request.path != HEALTH:
        raise Rejected(404, "not_found", "There is nothing here.")
    if request.method not in (b"GET", b"HEAD"):
        raise Rejected(405, "method_not_allowed", "Health is asked for with GET.")
    status, state = edge.health()
    body = json.dumps(state).encode() + b"\n"
    length = (b"content-length", b"%d" % len(body))
    return Head(status, ((b"content-type", b"application/json"), (b"cache-control", b"no-store"), length)), body
