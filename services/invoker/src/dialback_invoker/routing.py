"""Which function a request is for: by path, `/@NAME/...`, or by host, `NAME.localhost`."""

import re
from dataclasses import dataclass

from dialback_wire.messages import Request

_PREFIX = re.compile(rb"/@([A-Za-z0-9_-]{1,64})(?=[/?]|$)")
_HOST = re.compile(rb"([a-z0-9_-]{1,64})\.localhost(?::[0-9]+)?")


@dataclass(slots=True)
class Route:
    """A function's name and what its worker sees of the target."""

    function: str
    root_path: str
    """`/@NAME` when the function was named by path, else empty; ASGI's root_path, WSGI's SCRIPT_NAME."""
    path: str
    """Still percent-encoded; at least `/`, or `*`."""
    query: str


def route(request: Request, default: str | None = None) -> Route | None:
    """The route of a request, or None when it names no function. `default` answers what names none."""
    path, _, query = request.target.decode("latin-1").partition("?")
    by_path = _PREFIX.match(request.target)
    if by_path is not None:
        prefix = by_path.group().decode()
        return Route(by_path.group(1).decode(), prefix, path[len(prefix) :] or "/", query)
    by_host = _HOST.fullmatch(request.authority)
    if by_host is not None:
        return Route(by_host.group(1).decode(), "", path, query)
    return Route(default, "", path, query) if default else None
