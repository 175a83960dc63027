"""Server-Sent Events, as this API writes them: a name, and one line of JSON."""

from __future__ import annotations

from typing import Any, Final

import msgspec

SSE: Final = "text/event-stream"
HEARTBEAT: Final = b": alive\n\n"
"""A comment, which readers skip."""

_encode = msgspec.json.Encoder().encode


def event(name: str, data: dict[str, Any]) -> bytes:
    """One event. JSON has no line breaks of its own, so it is one ``data`` line."""
    return b"event: " + name.encode() + b"\ndata: " + _encode(data) + b"\n\n"
