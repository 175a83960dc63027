"""When what happened to one invocation: the material of `dialback trace` and of the page's waterfall.

Times are monotonic seconds inside, milliseconds after `received` outside.
"""

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from dialback_wire.frames import FrameType

GAP_BUCKETS_MS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0)
SHOWN_GAPS = 8
KEPT_FRAMES = 200
"""How many frames are kept from the start of an invocation, and as many again from its end."""

FrameEvent = tuple[float, str, str, int, str, int]
"""Milliseconds after `received`, hop, direction, stream, type, size in bytes."""

_Passed = tuple[float, str, str, int, int | str, int]
"""The same as it is put down: by the clock, and with the type's number."""

_NAMES = {int(kind): kind.name for kind in FrameType}


class Gaps:
    """Times between chunks: the first and last few, and a histogram of all."""

    __slots__ = ("_began", "_counts", "_first", "_last", "_previous", "count")

    def __init__(self) -> None:
        self.count = 0
        self._first: list[float] = []
        self._last: deque[float] | None = None
        """Made when it is needed, as here and below: most answers are one chunk."""
        self._counts: list[int] = []
        self._began = 0.0
        self._previous: float | None = None

    def chunk(self, now: float) -> None:
        """A chunk came at `now`."""
        self.count += 1
        if self._previous is not None:
            self._gap((now - self._previous) * 1000)
        else:
            self._began = now
        self._previous = now

    def _gap(self, gap: float) -> None:
        if not self._counts:
            self._counts = [0] * (len(GAP_BUCKETS_MS) + 1)
        self._counts[bisect_left(GAP_BUCKETS_MS, gap)] += 1
        if len(self._first) < SHOWN_GAPS:
            self._first.append(gap)
        else:
            if self._last is None:
                self._last = deque(maxlen=SHOWN_GAPS)
            self._last.append(gap)

    @property
    def histogram(self) -> Sequence[int]:
        """How many gaps lay below each of GAP_BUCKETS_MS, and above them all; empty before the first gap."""
        return self._counts

    @property
    def latest(self) -> float | None:
        """When the last chunk came, in the clock's seconds."""
        return self._previous

    @property
    def seconds(self) -> float:
        """All gaps together."""
        return 0.0 if self._previous is None else self._previous - self._began

    def as_dict(self) -> dict[str, object]:
        """As the trace shows it; a bucket without a bound has `le_ms` null."""
        bounds: tuple[float | None, ...] = (*GAP_BUCKETS_MS, None)
        histogram = [
            {"le_ms": bound, "count": count} for bound, count in zip(bounds, self._counts, strict=False) if count
        ]
        return {
            "first": [round(gap, 3) for gap in self._first],
            "last": [round(gap, 3) for gap in self._last or ()],
            "histogram": histogram,
        }


class Timeline:
    """Marks, chunk gaps and frames of one invocation."""

    __slots__ = ("_dropped", "_first", "_last", "_marks", "clock", "gaps", "listener", "origin", "received_at")

    def __init__(self, age_seconds: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        """`age_seconds`: how long ago the edge saw the request."""
        self.clock = clock
        self.origin = clock() - age_seconds
        self.received_at = time.time() - age_seconds
        self.gaps = Gaps()
        self.listener: Callable[[FrameEvent], None] | None = None
        self._marks: dict[str, float] = {"received": self.origin}
        self._first: list[_Passed] = []
        self._last: deque[_Passed] | None = None
        self._dropped = 0

    def mark(self, name: str, at: float | None = None) -> None:
        """Something happened now, or `at` a moment of the clock. Only its first time counts."""
        self._marks.setdefault(name, self.clock() if at is None else at)

    def mark_last_byte(self) -> None:
        """The body is over: its last chunk was its last byte."""
        if self.gaps.latest is not None:
            self._marks["last_byte"] = self.gaps.latest

    def at(self, name: str) -> float | None:
        """Milliseconds after `received`, to the microsecond, or None when it has not happened."""
        at = self._marks.get(name)
        return None if at is None else round((at - self.origin) * 1000, 3)

    @property
    def moments(self) -> Mapping[str, float]:
        """What has happened, and when by the clock."""
        return self._marks

    def tap(self, hop: str, stream: int) -> Callable[[bool, int, int], None]:
        """A tap for a stream of the hop `link` or `socket` (see `dialback_wire.stream.Tap`)."""
        # Up is towards the client. The invoker answers on the link and asks on the socket.
        sent, came = ("up", "down") if hop == "link" else ("down", "up")
        clock, first = self.clock, self._first

        def tap(was_sent: bool, kind: int, size: int) -> None:
            passed = (clock(), hop, sent if was_sent else came, stream, kind, size)
            if len(first) < KEPT_FRAMES and self.listener is None:
                # Nearly all: what is told of them is made when somebody asks.
                first.append(passed)
            else:
                self._passed(passed)

        return tap

    def frame(self, hop: str, direction: str, stream: int, kind: int | str, size: int) -> None:
        """A frame, or a message of the runtime API, passed the invoker."""
        self._passed((self.clock(), hop, direction, stream, kind, size))

    def _passed(self, passed: _Passed) -> None:
        if len(self._first) < KEPT_FRAMES:
            self._first.append(passed)
        else:
            if self._last is None:
                self._last = deque(maxlen=KEPT_FRAMES)
            self._dropped += len(self._last) == KEPT_FRAMES
            self._last.append(passed)
        if self.listener is not None:
            self.listener(self._event(passed))

    def _event(self, passed: _Passed) -> FrameEvent:
        at, hop, direction, stream, kind, size = passed
        name = kind if isinstance(kind, str) else _NAMES.get(kind, "?")
        return ((at - self.origin) * 1000, hop, direction, stream, name, size)

    @property
    def count(self) -> int:
        """All frames that passed, kept or not."""
        return len(self._first) + (0 if self._last is None else len(self._last)) + self._dropped

    def marks(self) -> list[dict[str, object]]:
        """All marks in the order of their times."""
        ordered = sorted(self._marks.items(), key=lambda item: item[1])
        return [{"name": name, "t": round((at - self.origin) * 1000, 3)} for name, at in ordered]

    def events(self) -> list[FrameEvent]:
        """The kept frames, in order."""
        return list(map(self._event, [*self._first, *(self._last or ())]))

    def frames(self) -> list[dict[str, object]]:
        """The kept frames as a trace shows them."""
        return [frame_dict(event) for event in self.events()]


def frame_dict(event: FrameEvent) -> dict[str, object]:
    """A frame as the trace and the page show it."""
    t, hop, direction, stream, kind, size = event
    return {"t": round(t, 3), "hop": hop, "direction": direction, "stream": stream, "type": kind, "size": size}
