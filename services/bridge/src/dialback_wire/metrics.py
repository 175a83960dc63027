"""What a process counts, as plain numbers: no exposition format, no library, no clock.

Edge and invoker bump integers on their hot paths and give `Reading`s when somebody looks. What becomes of them, such as
Prometheus' text, is for whoever looks.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds that suit requests: from a warm answer to a long stream."""

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A thing that is measured. `name` follows Prometheus: a prefix, base units, `_total` for counters."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


class Tally:
    """A histogram: how many values lay below each bound, and what they add up to."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        """`bounds` ascend; a value that equals one belongs to it. What is above the last is counted too."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """One value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def merge(self, counts: Iterable[int], total: float) -> None:
        """Values that were counted elsewhere, below the same bounds."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, counts, strict=True)]
        self.total += total

    def copy(self) -> "Tally":
        """As it is now; it changes no more when this one does."""
        made = Tally(self.bounds)
        made.merge(self.counts, self.total)
        return made


@dataclass(frozen=True, slots=True)
class Reading:
    """The value of a metric for one choice of its labels, now."""

    metric: Metric
    value: float | Tally
    labels: tuple[str, ...] = ()


Source = Callable[[], Iterable[Reading]]
"""Gives everything that it counts. Called on the loop's thread, so it must be quick."""
