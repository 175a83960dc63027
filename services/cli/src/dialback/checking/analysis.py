"""What an observation says of the way: pure, from times and headers to a verdict with its reasons.

With marks the times of sending are known: a way that delays everything alike is fine, one that lets chunks wait for
each other is not. Without marks only the arrivals can be judged, and a function that writes everything at once looks
like a proxy that buffers.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from dialback.checking.marks import PROBE_HEADER
from dialback.checking.observing import Observed
from dialback.terminal import milliseconds, size

TOGETHER: Final = 0.25
"""Marks that come closer than this part of the gap in which they were sent came together."""
AT_ONCE: Final = 0.2
"""A body that arrives within this part of the time in which it was sent came all at once."""
FEW: Final = 0.7
"""Fewer bursts than this part of the marks: they came in blocks."""
SHORT: Final = 0.5
"""Seconds; without marks, an answer that took less tells nothing."""
BLOCKS: Final = (1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)


class Verdict(Enum):
    """How a stream arrived."""

    STREAMS = "streams"
    CHANGED = "changed"
    """It streams, but its bytes are not those that were sent."""
    BLOCKS = "in blocks"
    BUFFERED = "buffered"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict, its reasons, and how much came together when it came in blocks (bytes; None: not known)."""

    verdict: Verdict
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    block: int | None = None
    longest_wait: float | None = field(default=None)
    """Seconds that a mark was held back longer than the fastest one."""

    @property
    def good(self) -> bool:
        return self.verdict is Verdict.STREAMS


def analyse(seen: Observed) -> Finding:
    """The verdict."""
    changes, notes = _changes(seen), _notes(seen)
    if seen.header(PROBE_HEADER) or seen.marks:
        return _marked(seen, changes, notes)
    return _unmarked(seen, changes, notes)


def _marked(seen: Observed, changes: tuple[str, ...], notes: tuple[str, ...]) -> Finding:
    marks = seen.marks
    if len(marks) < 2:
        if seen.unread and len(seen.arrivals) >= 2:
            return _unmarked(seen, changes, notes)
        return Finding(Verdict.UNCLEAR, (*changes, f"{len(marks)} marks came, which is too few"), notes)
    sent, came = marks[-1].sent - marks[0].sent, marks[-1].at - marks[0].at
    waits = [(mark.at - marks[0].at) - (mark.sent - marks[0].sent) for mark in marks]
    longest = max(waits) - min(waits)
    if sent > 0 and came < AT_ONCE * sent:
        why = f"{len(marks)} chunks, sent over {_ms(sent)}, arrived within {_ms(came)}"
        return Finding(Verdict.BUFFERED, (why, *changes), notes, longest_wait=longest)
    bursts = _bursts([mark.at for mark in marks], TOGETHER * sent / (len(marks) - 1))
    if len(bursts) < FEW * len(marks):
        block = _block(seen, TOGETHER * sent / (len(marks) - 1))
        about = f", about {size(block)} each" if block else ""
        why = f"{len(marks)} chunks arrived in {len(bursts)} bursts{about}"
        return Finding(Verdict.BLOCKS, (why, *changes), notes, block, longest)
    why = f"{len(marks)} chunks arrived as they were sent, none waited more than {_ms(longest)} for another"
    verdict = Verdict.CHANGED if changes else Verdict.STREAMS
    return Finding(verdict, (*changes, why), notes, longest_wait=longest)


def _unmarked(seen: Observed, changes: tuple[str, ...], notes: tuple[str, ...]) -> Finding:
    first, last = seen.arrivals[0][0], seen.arrivals[-1][0]
    spread, pieces = last - first, len(seen.arrivals)
    if last < SHORT or (pieces == 1 and last < 2 * SHORT):
        return Finding(Verdict.UNCLEAR, ("the whole answer took only " + _ms(last), *changes), notes)
    if spread < AT_ONCE * 0.25 * last:
        why = f"everything arrived within {_ms(spread)}, after {_ms(first)} of silence"
        return Finding(Verdict.BUFFERED, (why, *changes), notes)
    block = _block(seen, spread / (4 * max(1, pieces - 1)))
    if block is not None and _regular(seen, block):
        why = f"{pieces} pieces arrived in blocks of about {size(block)}"
        return Finding(Verdict.BLOCKS, (why, *changes), notes, block)
    why = f"{pieces} pieces arrived over {_ms(spread)}"
    return Finding(Verdict.CHANGED if changes else Verdict.STREAMS, (*changes, why), notes)


def _bursts(times: Sequence[float], gap: float) -> list[list[float]]:
    """Times that are closer than `gap` to their neighbour, together."""
    bursts = [[times[0]]]
    for earlier, later in itertools.pairwise(times):
        if later - earlier <= gap:
            bursts[-1].append(later)
        else:
            bursts.append([later])
    return bursts


def _amounts(seen: Observed, gap: float) -> list[int]:
    """Bytes of each burst but the last, which is what was left."""
    amounts = [0]
    previous = seen.arrivals[0][0]
    for at, count in seen.arrivals:
        if at - previous > gap:
            amounts.append(0)
        amounts[-1] += count
        previous = at
    return amounts[:-1]


def _block(seen: Observed, gap: float) -> int | None:
    """The size of a buffer that explains the bursts."""
    amounts = _amounts(seen, gap)
    if not amounts:
        return None
    typical = statistics.median(amounts)
    near = min(BLOCKS, key=lambda block: abs(block - typical))
    return near if abs(near - typical) <= 0.15 * near else None


def _regular(seen: Observed, block: int) -> bool:
    """Whether most bursts, three at least, have that size: it is a buffer's and not the function's choice."""
    amounts = _amounts(seen, 0.005)
    fitting = sum(abs(amount - block) <= 0.05 * block for amount in amounts)
    return len(amounts) >= 3 and fitting >= 0.8 * len(amounts)


def _changes(seen: Observed) -> tuple[str, ...]:
    """What was done to the bytes of a probe, or of any answer that can be told from its headers."""
    said = []
    coding = seen.header("content-encoding")
    probed = bool(seen.header(PROBE_HEADER))
    if coding and probed:
        said.append(f"something compressed it on the way: content-encoding: {coding}")
    broken = sum(not mark.whole for mark in seen.marks)
    if broken:
        said.append(f"{broken} of {len(seen.marks)} chunks were changed on the way")
    if seen.marks and [mark.index for mark in seen.marks] != list(range(1, len(seen.marks) + 1)):
        said.append("chunks are missing, repeated or out of order")
    elif seen.marks and not seen.cut and not seen.left and len(seen.marks) < seen.marks[0].count:
        said.append(f"{seen.marks[0].count - len(seen.marks)} chunks are missing at the end")
    if seen.strange and probed and not seen.unread:
        said.append("text was added that the function did not send")
    if probed and seen.header("content-length"):
        said.append("content-length was added, so something had the whole answer before it sent any of it")
    if probed and "no-transform" not in seen.header("cache-control"):
        said.append("cache-control lost its no-transform, which forbids to change it")
    if seen.cut:
        said.append(f"it was cut short after {size(seen.received)}: {seen.cut}")
    return tuple(said)


def _notes(seen: Observed) -> tuple[str, ...]:
    """What one should know beside the verdict."""
    said = []
    if seen.version == "HTTP/1.0":
        said.append("it came over HTTP/1.0, where a cut cannot be told from an end")
    if seen.header("content-encoding") and not seen.header(PROBE_HEADER):
        said.append(f"it is compressed ({seen.header('content-encoding')}); whether on the way is not known")
    if seen.unread:
        said.append(f"its marks could not be read: {seen.unread}")
    if seen.header("age") not in ("", "0"):
        said.append(f"it may come from a cache: age: {seen.header('age')}")
    if seen.header("x-accel-buffering"):
        said.append(f"x-accel-buffering: {seen.header('x-accel-buffering')} was passed on, so no nginx acted on it")
    return tuple(said)


def _ms(seconds: float) -> str:
    return milliseconds(seconds * 1000)
