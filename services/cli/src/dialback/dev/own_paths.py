"""`/_dialback/dev/`: the script of the pages, and the events that it listens to, answered in memory."""

from __future__ import annotations

import asyncio
import json
from importlib.resources import files

from dialback.dev.prefix import CLIENT, EVENTS
from dialback.dev.state import State
from dialback_wire import memory
from dialback_wire.messages import Head, Reason, Request, Verdict
from dialback_wire.mux import Mux
from dialback_wire.sink import BaseSink, StreamSink
from dialback_wire.stream import Stream
from dialback_wire.tables import Seat

HEARTBEAT = 15.0
"""Seconds between two comments, so that what is between us and the browser keeps the stream."""


class OwnPaths:
    """Answers requests for `/_dialback/dev/...`."""

    def __init__(self, state: State) -> None:
        defer = asyncio.get_running_loop().call_soon
        self._state = state
        self._script = files("dialback.dev").joinpath("client.js").read_bytes()
        self._asking, _ = memory.join(
            lambda outlet: Mux(Seat.EDGE, write=outlet, defer=defer),
            lambda outlet: Mux(Seat.INVOKER_LINK, write=outlet, defer=defer, on_open=self._answer),
            defer,
        )

    def open(self, request: Request, sink: StreamSink) -> Stream:
        """As `Upstream.open`."""
        return self._asking.open_request(request, sink)

    def _answer(self, stream: Stream, opened: Request | bytes) -> StreamSink:
        assert isinstance(opened, Request)
        path = opened.target.partition(b"?")[0].decode("latin-1")
        if opened.method not in (b"GET", b"HEAD"):
            return self._whole(stream, 405, "text/plain", b"This is asked for with GET.\n")
        if path == CLIENT:
            return self._whole(stream, 200, "text/javascript; charset=utf-8", self._script)
        if path == EVENTS and opened.method == b"GET":
            return _Listener(stream, self._state)
        return self._whole(stream, 404, "text/plain", b"There is nothing here.\n")

    def _whole(self, stream: Stream, status: int, kind: str, body: bytes) -> StreamSink:
        length = (b"content-length", b"%d" % len(body))
        stream.head(Head(status, ((b"content-type", kind.encode()), (b"cache-control", b"no-store"), length)))
        stream.write(body)
        stream.end(Verdict.OK)
        return BaseSink()


class _Listener(BaseSink):
    """One page that is told of every change, as server-sent events (WHATWG HTML, 9.2)."""

    def __init__(self, stream: Stream, state: State) -> None:
        self._stream = stream
        self._state = state
        self._loop = asyncio.get_running_loop()
        self._stop = state.listen(self._tell)
        fields = ((b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache, no-transform"))
        stream.head(Head(200, fields))
        stream.write(b"retry: 300\n\n")
        self._timer = self._loop.call_later(HEARTBEAT, self._beat)
        self._tell()

    def _tell(self) -> None:
        self._stream.write(f"event: state\ndata: {json.dumps(self._state.as_dict())}\n\n".encode())

    def _beat(self) -> None:
        self._stream.write(b": still there\n\n")
        self._timer = self._loop.call_later(HEARTBEAT, self._beat)

    def _leave(self) -> None:
        self._stop()
        self._timer.cancel()

    def on_cancel(self, reason: Reason, detail: str) -> None:
        """The page has gone."""
        self._leave()
        self._stream.end(Verdict.CANCELLED)

    def on_lost(self, why: str) -> None:
        """The edge has gone."""
        self._leave()

    def on_closed(self) -> None:
        """All is said."""
        self._leave()
