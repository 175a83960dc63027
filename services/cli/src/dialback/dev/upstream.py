"""The edge's upstream under `dialback dev`: notes what is asked, answers what is dev's own, waits for exceptions."""

from __future__ import annotations

from typing import Protocol

from dialback.dev.failing import Failing
from dialback.dev.own_paths import OwnPaths
from dialback.dev.prefix import PREFIX
from dialback.dev.state import State
from dialback_edge.upstream import Upstream
from dialback_wire.messages import Request
from dialback_wire.sink import StreamSink
from dialback_wire.stream import Stream


class Notes(Protocol):
    """Told of every request that is passed on."""

    def opened(self, request: Request) -> None: ...


class DevUpstream:
    """Wraps the upstream that reaches the function."""

    def __init__(self, upstream: Upstream, own: OwnPaths, state: State, notes: Notes) -> None:
        self._upstream = upstream
        self._own = own
        self._state = state
        self._notes = notes

    @property
    def ready(self) -> bool:
        """As the wrapped one."""
        return self._upstream.ready

    def open(self, request: Request, sink: StreamSink) -> Stream:
        """Ask. Raises UpstreamUnavailable."""
        if request.target.startswith(PREFIX.encode()):
            return self._own.open(request, sink)
        self._notes.opened(request)
        return self._upstream.open(request, Failing(sink, request, self._state))
