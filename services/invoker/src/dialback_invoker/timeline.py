"""When what happened to one invocation: the material of `dialback trace` and of the page's waterfall.

Times are monotonic seconds inside, milliseconds after `received` outside.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from functools import partial
from struct import Struct

from dialback_wire.frames import FrameType

GAP_BUCKETS_MS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0)
SHOWN_GAPS = 8
KEPT_FRAMES = 200
"""How many frames are kept from the start of an invocation, and as many again from its end."""

FrameEvent = tuple[float, str, str, int, str, int]
"""Milliseconds after `received`, hop, direction, stream, type, size in bytes."""

_RECORD = Struct("<dBHII")
"""A kept frame, packed: milliseconds, way, kind, stream, size. A stream of days keeps its hundreds all the time, and
tuples take seven times as much."""

_WAYS = (
    ("link", "down"),
    ("link", "up"),
    ("socket", "down"),
    ("socket", "up"),
    ("runtime", "down"),
    ("runtime", "up"),
)
"""Hop and direction. The opposite of the way `n` is `n ^ 1`."""

_WAY = {way: number for number, way in enumerate(_WAYS)}
_NAMES = {int(kind): kind.name for kind in FrameType}
_KINDS = {name: kind for kind, name in _NAMES.items()}
_MESSAGES = 0x100
"""What is no frame is numbered from here on."""

_LOOSE = 8
"""Frames of the start that are not packed until there are more, or somebody looks: most invocations have no more."""

_pack = _RECORD.pack
_PART = KEPT_FRAMES * _RECORD.size
_FULL = 3 * _PART


def _kind(name: str) -> int:
    """The number of a frame's or message's name."""
    number = _KINDS.get(name)
    if number is None:
        number = _KINDS[name] = _MESSAGES + len(_KINDS)
        _NAMES[number] = name
    return number


class Gaps:
    """Times between chunks: the first and last few, and a histogram of all."""

    __slots__ = ("_began", "_first", "_last", "_previous", "count", "histogram")

    def __init__(self) -> None:
        self.count = 0
        self._first: list[float] = []
        self._last: list[float] = []
        self.histogram: list[int] = []
        """How many gaps lay below each of GAP_BUCKETS_MS, and above them all; empty while there was none."""
        self._began = 0.0
        self._previous: float | None = None

    def chunk(self, now: float) -> None:
        """A chunk came at `now`."""
        self.count += 1
        if self._previous is not None:
            gap = (now - self._previous) * 1000
            if not self.histogram:
                self.histogram = [0] * (len(GAP_BUCKETS_MS) + 1)
            self.histogram[bisect_left(GAP_BUCKETS_MS, gap)] += 1
            if len(self._first) < SHOWN_GAPS:
                self._first.append(gap)
            else:
                self._last.append(gap)
                del self._last[:-SHOWN_GAPS]
        else:
            self._began = now
        self._previous = now

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
            {"le_ms": bound, "count": count} for bound, count in zip(bounds, self.histogram, strict=False) if count
        ]
        return {
            "first": [round(gap, 3) for gap in self._first],
            "last": [round(gap, 3) for gap in self._last],
            "histogram": histogram,
        }


class Timeline:
    """Marks, chunk gaps and frames of one invocation."""

    __slots__ = ("_dropped", "_frames", "_loose", "_marks", "clock", "gaps", "listener", "origin", "received_at")

    def __init__(self, age_seconds: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        """`age_seconds`: how long ago the edge saw the request."""
        self.clock = clock
        self.origin = clock() - age_seconds
        self.received_at = time.time() - age_seconds
        self.gaps = Gaps()
        self.listener: Callable[[FrameEvent], None] | None = None
        self._marks: dict[str, float] = {"received": self.origin}
        self._frames = bytearray()
        self._loose: list[tuple[float, int, int, int, int]] | None = []
        """The first frames, with the clock's time; None as soon as all are packed."""
        self._dropped = 0

    @property
    def count(self) -> int:
        """All frames that passed, kept or not."""
        return self._dropped + len(self._packed()) // _RECORD.size

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
        # Up is towards the client. The invoker answers on the link and asks on the socket. A partial takes less than
        # half of a closure's memory, and each open stream has two.
        return partial(_tapped, self, _WAY[hop, "up" if hop == "link" else "down"], stream)

    def frame(self, hop: str, direction: str, stream: int, kind: str, size: int) -> None:
        """A frame, or a message of the runtime API, passed the invoker."""
        number = _KINDS.get(kind) or _kind(kind)
        event = (self.clock(), _WAY[hop, direction], number, stream, size)
        loose = self._loose
        if loose is None:
            self._pack(event)
        else:
            loose.append(event)
            if self.listener is None and len(loose) <= _LOOSE:
                return
        self._kept()

    def _pack(self, event: tuple[float, int, int, int, int]) -> None:
        at, *others = event
        self._frames += _pack((at - self.origin) * 1000, *others)

    def _packed(self) -> bytearray:
        """The kept frames, none of them loose any more."""
        loose, self._loose = self._loose, None
        for event in loose or ():
            self._pack(event)
        return self._frames

    def _kept(self) -> None:
        """A frame was put down: tell it, and throw some away when there are many."""
        frames = self._packed()
        if self.listener is not None:
            self.listener(_unpacked(frames[-_RECORD.size :]))
        if len(frames) >= _FULL:
            # Of what follows the first ones, the older half.
            del frames[_PART : 2 * _PART]
            self._dropped += KEPT_FRAMES

    def marks(self) -> list[dict[str, object]]:
        """All marks in the order of their times."""
        ordered = sorted(self._marks.items(), key=lambda item: item[1])
        return [{"name": name, "t": round((at - self.origin) * 1000, 3)} for name, at in ordered]

    def events(self) -> list[FrameEvent]:
        """The kept frames, in order."""
        frames = self._packed()
        kept = frames[:_PART] + frames[max(_PART, len(frames) - _PART) :]
        return [_unpacked(kept[at : at + _RECORD.size]) for at in range(0, len(kept), _RECORD.size)]

    def frames(self) -> list[dict[str, object]]:
        """The kept frames as a trace shows them."""
        return [frame_dict(event) for event in self.events()]


def _tapped(timeline: Timeline, sends: int, stream: int, was_sent: bool, kind: int, size: int) -> None:
    # Seven or more times for every request, and a million times for a long one, so without another call.
    way = sends if was_sent else sends ^ 1
    loose = timeline._loose
    if loose is not None:
        loose.append((timeline.clock(), way, kind, stream, size))
        if timeline.listener is not None or len(loose) > _LOOSE:
            timeline._kept()
        return
    frames = timeline._frames
    frames.extend(_pack((timeline.clock() - timeline.origin) * 1000, way, kind, stream, size))
    if timeline.listener is not None or len(frames) >= _FULL:
        timeline._kept()


def _unpacked(record: bytearray) -> FrameEvent:
    t, way, kind, stream, size = _RECORD.unpack(record)
    return (t, *_WAYS[way], stream, _NAMES.get(kind, "?"), size)


def frame_dict(event: FrameEvent) -> dict[str, object]:
    """A frame as the trace and the page show it."""
    t, hop, direction, stream, kind, size = event
    return {"t": round(t, 3), "hop": hop, "direction": direction, "stream": stream, "type": kind, "size": size}
