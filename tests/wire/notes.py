"""A sink that notes what it hears, and fails the test that calls it when it must not be called."""

from collections.abc import Callable
from typing import Any

from dialback_wire.messages import Accept, End, Fields, Head, Info, Reason
from dialback_wire.stream import Stream

ONCE = frozenset({"accept", "head", "trailers", "end", "cancel", "credit"})
LAST = frozenset({"refuse", "answer", "closed", "lost"})

ILLEGAL: list[str] = []
"""Calls that must not have come, of all sinks; `conftest` looks at it after every test."""


class Notes:
    """Notes every call, consumes when told to. `on[name]` is called with what came."""

    def __init__(self, *, asks: bool, consume: bool = True) -> None:
        self.asks = asks
        self.consume = consume
        self.events: list[tuple[Any, ...]] = []
        self.data = bytearray()
        self.stream: Stream | None = None
        self.on: dict[str, Callable[..., None]] = {}
        self.last_word = ""
        self._seen: set[str] = set()

    def names(self) -> list[str]:
        """What was heard, by name, without the noise of credit and pieces."""
        return [event[0] for event in self.events if event[0] not in ("sent", "data", "credit")]

    def last(self, name: str) -> Any:
        """What the last call of this name brought."""
        return next(event[1] for event in reversed(self.events) if event[0] == name)

    def _is_wrong(self, name: str) -> bool:
        seen = self._seen
        if self.last_word or (name in ONCE and name in seen):
            return True
        if name in ("data", "trailers"):
            return bool(seen & {"trailers", "end", "cancel"}) or (self.asks and "head" not in seen)
        if name in ("info", "head", "answer"):
            return not self.asks or "head" in seen
        if name in ("cancel", "closed"):
            return self.asks
        return name == "end" and "cancel" in seen

    def _heard(self, name: str, *values: Any) -> None:
        if self._is_wrong(name):
            ILLEGAL.append(f"{name} behind {self.names()}")
        if name in LAST or (name == "end" and self.asks):
            self.last_word = name
        self._seen.add(name)
        self.events.append((name, *values))
        if name in self.on:
            self.on[name](*values)

    def on_accept(self, accept: Accept) -> None:
        """See StreamSink."""
        self._heard("accept", accept)

    def on_refuse(self, code: int, reason: str) -> None:
        """See StreamSink."""
        self._heard("refuse", code, reason)

    def on_info(self, info: Info) -> None:
        """See StreamSink."""
        self._heard("info", info)

    def on_head(self, head: Head) -> None:
        """See StreamSink."""
        self._heard("head", head)

    def on_data(self, data: bytes) -> None:
        """See StreamSink."""
        if not data:
            ILLEGAL.append("empty data")
        self.data += data
        self._heard("data", len(data))
        if self.consume and self.stream is not None:
            self.stream.consumed(len(data))

    def on_trailers(self, fields: Fields) -> None:
        """See StreamSink."""
        self._heard("trailers", fields)

    def on_end(self, end: End) -> None:
        """See StreamSink."""
        self._heard("end", end)

    def on_answer(self, head: Head, body: bytes) -> None:
        """See StreamSink."""
        self.data += body
        self._heard("answer", head, body)

    def on_cancel(self, reason: Reason, detail: str) -> None:
        """See StreamSink."""
        self._heard("cancel", reason, detail)

    def on_credit(self) -> None:
        """See StreamSink."""
        self._heard("credit")

    def on_sent(self, count: int) -> None:
        """See StreamSink."""
        self._heard("sent", count)

    def on_closed(self) -> None:
        """See StreamSink."""
        self._heard("closed")

    def on_lost(self, why: str) -> None:
        """See StreamSink."""
        self._heard("lost", why)
