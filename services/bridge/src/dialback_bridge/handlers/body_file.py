"""A request's body as a binary file, for synchronous code: `wsgi.input`, and `rfile` of a request handler."""

from __future__ import annotations

import io
from typing import Any

from ..exchange import Exchange
from .threads import LoopCaller

BUFFER = 64 * 1024
"""Bytes that are taken in advance of what was asked for, at most."""


class RawBody(io.RawIOBase):
    """Reads one part after the other; the client is asked for more only when the last one was taken.

    Raises ClientGone when the rest will not come: a body that was cut short never looks like one that ended.
    """

    def __init__(self, exchange: Exchange, call: LoopCaller, before: bytes = b"") -> None:
        self._exchange = exchange
        self._call = call
        self._rest = memoryview(before)
        self._over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """At most one part of the body; 0 at its end."""
        if not self._rest and not self._over:
            self._rest = memoryview(self._call(self._exchange.read()))
            self._over = not self._rest
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def body_file(exchange: Exchange, call: LoopCaller, before: bytes = b"") -> io.BufferedReader:
    """The body of `exchange` as a file; `before` comes in front of it. For one thread."""
    return io.BufferedReader(RawBody(exchange, call, before), BUFFER)
