"""The edge's upstream under `dialback dev`: notes what is asked, answers what is dev's own, waits for exceptions."""

from __future__ import annotations

import asyncio
from typing import Protocol

from dialback.dev.own_paths import OwnPaths
from dialback.dev.prefix import PREFIX
from dialback.dev.state import State
from dialback_edge.upstream import Upstream
from dialback_wire.messages import Accept, End, Fields, Head, Info, Reason, Request, Verdict
from dialback_wire.sink import StreamSink
from dialback_wire.stream import Stream

PATIENCE = 0.3
"""Seconds in which the log of a failed request may follow its failure: both come on ways of their own."""
HANDLER_ERROR = "handler_error"


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
        return self._upstream.open(request, _Patient(sink, request.id, self._state))


class _Patient:
    """Passes everything on; the news of an exception only when it is known what was raised, for its page tells it."""

    def __init__(self, sink: StreamSink, request: str, state: State) -> None:
        self._sink = sink
        self._request = request
        self._state = state
        self._answered = False
        self._task: asyncio.Task[None] | None = None

    def on_end(self, end: End) -> None:
        if self._answered or end.verdict is not Verdict.ERROR or end.code != HANDLER_ERROR:
            self._sink.on_end(end)
        else:
            self._task = asyncio.get_running_loop().create_task(self._end(end))

    async def _end(self, end: End) -> None:
        await self._state.await_raised(self._request, PATIENCE)
        self._sink.on_end(end)

    def on_head(self, head: Head) -> None:
        self._answered = True
        self._sink.on_head(head)

    def on_accept(self, accept: Accept) -> None:
        self._sink.on_accept(accept)

    def on_refuse(self, code: int, reason: str) -> None:
        self._sink.on_refuse(code, reason)

    def on_info(self, info: Info) -> None:
        self._sink.on_info(info)

    def on_data(self, data: bytes) -> None:
        self._sink.on_data(data)

    def on_trailers(self, fields: Fields) -> None:
        self._sink.on_trailers(fields)

    def on_cancel(self, reason: Reason, detail: str) -> None:
        self._sink.on_cancel(reason, detail)

    def on_credit(self) -> None:
        self._sink.on_credit()

    def on_sent(self, count: int) -> None:
        self._sink.on_sent(count)

    def on_closed(self) -> None:
        self._sink.on_closed()

    def on_lost(self, why: str) -> None:
        self._sink.on_lost(why)
