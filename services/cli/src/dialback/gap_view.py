"""Draws how evenly a body flowed: gaps between chunks (the first and last few, a histogram between), time blocked."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from rich.text import Text

from dialback.control_models import Bin, Blocked, Gaps
from dialback.terminal import QUIET, milliseconds

LABEL = 20
EDGES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0)
"""Upper limits in milliseconds, for gaps that are measured here."""
FEW = 5
EIGHTHS = " ▏▎▍▌▋▊▉"


def gaps_of(times: Sequence[float]) -> Gaps:
    """The gaps between arrival times in milliseconds, in the form in which a trace has them."""
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    bins = [Bin(le_ms=edge, count=0) for edge in EDGES] + [Bin(le_ms=None, count=0)]
    for gap in gaps:
        place = next((index for index, edge in enumerate(EDGES) if gap <= edge), len(EDGES))
        bins[place] = Bin(le_ms=bins[place].le_ms, count=bins[place].count + 1)
    return Gaps(first=tuple(gaps[:FEW]), last=tuple(gaps[FEW:][-FEW:]), histogram=tuple(bins))


def gap_lines(gaps: Gaps, width: int) -> Iterator[Text]:
    """The section of the waterfall, indented by two."""
    label = "gaps between chunks"
    for name, values in (("first", gaps.first), ("last", gaps.last)):
        if values:
            line = Text("  " + label.ljust(LABEL), QUIET)
            line.append(f"{name:<6}", QUIET).append("  ".join(milliseconds(value) for value in values), "default")
            line.truncate(width, overflow="ellipsis")
            yield line
            label = ""
    yield from histogram_lines(gaps.histogram, width)


def histogram_lines(histogram: Sequence[Bin], width: int) -> Iterator[Text]:
    """One line for each bin from the first that is not empty to the last that is not empty."""
    filled = [index for index, bin in enumerate(histogram) if bin.count]
    if not filled:
        return
    room = max(8, min(40, width - LABEL - 26))
    most = max(bin.count for bin in histogram)
    for bin, below in _bins(histogram, filled[0], filled[-1]):
        limit = f"> {milliseconds(below)}" if bin.le_ms is None else f"≤ {milliseconds(bin.le_ms)}"
        line = Text("  " + " " * LABEL + limit.rjust(9) + " ", QUIET)
        line.append(block_bar(bin.count / most, room), "green").append(f" {bin.count:,}", "default")
        yield line


def _bins(histogram: Sequence[Bin], first: int, last: int) -> Iterator[tuple[Bin, float]]:
    for index in range(first, last + 1):
        yield histogram[index], (histogram[index - 1].le_ms or 0.0) if index else 0.0


def block_bar(share: float, width: int) -> str:
    """`share` of `width` cells, to an eighth of a cell; what is not zero is never invisible."""
    eighths = round(share * width * 8)
    if share > 0:
        eighths = max(1, eighths)
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def blocked_lines(blocked: Blocked, whole: float) -> Iterator[Text]:
    """How long the stream waited: for the client to take what was there, for the function to make more."""
    words = (("for the client", blocked.client_ms), ("for the function", blocked.worker_ms))
    line = Text("  " + "waiting".ljust(LABEL), QUIET)
    for index, (name, spent) in enumerate(words):
        share = f" ({spent / whole:.0%})" if spent and whole else ""
        line.append(" · " if index else "", QUIET).append(f"{milliseconds(spent)}{share}", "default").append(f" {name}")
    yield line
