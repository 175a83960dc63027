"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): framing, heartbeats, ends."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from ..context import find_invocation
from ..headers import Headers
from ..response import Response
from .both_ways import BothWays
from .fan import Fan
from .source import Source, check_source

TYPE = "text/event-stream"
UNTOUCHED = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
"""`no-transform` asks proxies not to change the stream: one that compresses may hold its parts back. nginx does not
know it; `x-accel-buffering` tells nginx to pass each part on at once, and it takes the field away.
"""

HEARTBEAT = b": heartbeat\n\n"
"""A comment: it keeps connections open, and no client shows it."""

CLOSE_BEFORE = 1.0
"""Seconds before the invocation's deadline at which a stream ends; of a short invocation, a tenth of what is left."""

_FIELDS = frozenset({"event", "data", "id", "retry"})
_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Event:
    """One event. `data`: a str as it is, anything else as JSON. `retry`: milliseconds."""

    data: Any = None
    event: str | None = None
    id: str | int | None = None
    retry: int | None = None

    def encode(self) -> bytes:
        """As it is sent. Raises ValueError for a name or an id that would break the framing."""
        lines = []
        for name, value in (("event", self.event), ("id", self.id), ("retry", self.retry)):
            if value is not None:
                text = str(value)
                if re.search("[\r\n\0]", text):
                    raise ValueError(f"the {name} of an event has a line end or NUL in it: {text[:60]!r}")
                lines.append(f"{name}: {text}\n")
        if self.data is not None:
            text = self.data if isinstance(self.data, str) else json.dumps(self.data, ensure_ascii=False)
            lines += [f"data: {line}\n" for line in _LINE_END.split(text)]
        return ("".join(lines) + "\n").encode("utf-8", "replace")


def as_event(item: Any) -> Event:
    """What a source gave, as an event; see `event_stream`. Raises TypeError or ValueError for what cannot be one."""
    if isinstance(item, Event):
        return item
    if isinstance(item, (bytes, bytearray, memoryview)):
        return Event(bytes(item).decode("utf-8", "replace"))
    if isinstance(item, tuple):
        if len(item) != 2 or not isinstance(item[0], str):
            raise TypeError("a tuple given to event_stream is (event, data), and the event's name a str")
        return Event(item[1], event=item[0])
    if isinstance(item, dict) and "data" in item and item.keys() <= _FIELDS:
        return Event(**item)
    return Event(item)


def event_stream(source: Source, *, heartbeat: float | None = 15, retry: int | None = None) -> EventStream:
    """A response of server-sent events, one for each item of `source`, each sent as it comes.

    An item is data: a str (its lines become `data:` lines), bytes (the same, as UTF-8), or any other value, as JSON. A
    tuple is `(event, data)`. A dict of nothing but `data` and, if wanted, `event`, `id`, `retry` says more, and so does
    an `Event`. None sends nothing.

    `heartbeat`: a comment is sent after so many seconds of silence, always between two events; None: never. `retry`:
    milliseconds after which a client that lost the stream asks again.

    When the source fails, a last event named `error` says so, `{"type", "message"}`, and the response counts as failed.
    Shortly before the invocation's deadline, if it has one, the stream ends cleanly, and browsers ask again by
    themselves. When the client leaves, the source is cancelled or closed, so that its `finally` runs.

    The same object is a `Response` for `fetch`, an asynchronous iterable of bytes for ASGI frameworks and a synchronous
    one for WSGI; `headers` goes with it there:

        return event_stream(ticks())                                            # fetch
        return StreamingResponse(events, headers=events.headers)                # Starlette, FastAPI
        return StreamingHttpResponse(aiter(events), headers=events.headers)     # Django under ASGI
        return flask.Response(events, headers=events.headers)                   # Flask

    Raises TypeError for what is no source, ValueError for a `heartbeat` that is not positive.
    """
    check_source(source)
    if heartbeat is not None and not heartbeat > 0:
        raise ValueError("event_stream: heartbeat is a number of seconds above 0, or None")
    return EventStream(source, heartbeat, retry)


class EventStream(BothWays, Response):
    """Made by `event_stream`."""

    def __init__(self, source: Source, heartbeat: float | None, retry: int | None) -> None:
        BothWays.__init__(self, source)
        self.headers = Headers({"content-type": TYPE, **UNTOUCHED})
        self.status = 200
        self._heartbeat = heartbeat
        self._retry = retry

    @property
    def body(self) -> EventStream:
        """The stream itself."""
        return self

    def items(self) -> AsyncGenerator[bytes, None]:
        return _events(self.sources, self._heartbeat, self._retry)


async def _events(
    sources: tuple[Source, ...], heartbeat: float | None, retry: int | None
) -> AsyncGenerator[bytes, None]:
    close_at = _close_at()
    if retry is not None:
        yield Event(retry=retry).encode()
    fan = Fan(sources, one_lane=True, size=1)
    silent_since = time.monotonic()
    try:
        while not fan.over:
            left = None if close_at is None else close_at - time.time()
            if left is not None and left <= 0:
                return
            found = fan.take()
            if found is not None:
                if found[0] is not None:
                    yield as_event(found[0]).encode()
                    silent_since = time.monotonic()
                continue
            patience = None if heartbeat is None else silent_since + heartbeat - time.monotonic()
            if patience is not None and patience <= 0:
                yield HEARTBEAT
                silent_since = time.monotonic()
            else:
                await fan.wait(min((each for each in (patience, left) if each is not None), default=None))
    except Exception as error:
        yield Event({"type": type(error).__name__, "message": str(error)}, event="error").encode()
        raise
    finally:
        await fan.stop()


def _close_at() -> float | None:
    """When to end the stream, in Unix seconds; None: there is no deadline."""
    invocation = find_invocation()
    if invocation is None or invocation.deadline is None:
        return None
    left = invocation.deadline - time.time()
    return invocation.deadline - min(CLOSE_BEFORE, left / 10)
