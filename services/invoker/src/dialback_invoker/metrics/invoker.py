"""The invoker's numbers: counted at the end of each invocation, completed with what is in flight when they are read."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dialback_invoker.metrics import catalogue
from dialback_invoker.metrics.series import Series
from dialback_invoker.trace import Invocation
from dialback_invoker.worker_state import State
from dialback_wire.metrics import Reading

_STATES = tuple(state for state in State if state is not State.DEAD)


@dataclass(frozen=True, slots=True)
class Running:
    """The platform at the moment when somebody looks."""

    deployed: Sequence[str]
    """Names of the functions that there are."""
    live: Sequence[Invocation]
    """Invocations that are not over."""
    queued: Mapping[str, int]
    """Invocations that wait for a worker, by function."""
    workers: Iterable[tuple[str, State]]
    """Function and state of every worker."""
    zygotes: Iterable[str]
    """Of every function that keeps processes from which its workers are forked: what is imported there."""
    dropped: int
    """Records that were not stored, since the start."""


class InvokerMetrics:
    """All methods belong to the loop's thread. Series of functions that are gone are dropped at the next look."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._series: dict[tuple[str, str], Series] = {}
        self._starts: Counter[tuple[str, str]] = Counter()

    def ended(self, invocation: Invocation) -> None:
        """An invocation has its outcome. On every request's way."""
        key = (invocation.function, invocation.mode)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series()
        series.over(invocation)

    def worker_started(self, function: str, result: str) -> None:
        """A start is over: `ready`, or a word for why it failed."""
        self._starts[function, result] += 1

    def readings(self, running: Running) -> Iterator[Reading]:
        """Everything, with what is in flight."""
        live = [one for one in running.live if one.outcome is None]
        deployed = sorted(running.deployed)
        self._forget(keep={"", *deployed, *(one.function for one in live)})
        yield Reading(catalogue.BUILD, 1, (self._version,))
        yield Reading(catalogue.LOST, running.dropped)
        zygotes = Counter(running.zygotes)
        for imported in ("bridge", "function"):
            yield Reading(catalogue.ZYGOTES, zygotes[imported], (imported,))
        for (function, mode), series in sorted(self._with(live).items()):
            yield from series.readings(function, mode)
        for (function, result), count in sorted(self._starts.items()):
            yield Reading(catalogue.STARTS, count, (function, result))
        in_flight = Counter(one.function for one in live)
        states = Counter(running.workers)
        for function in deployed:
            yield Reading(catalogue.IN_FLIGHT, in_flight[function], (function,))
            yield Reading(catalogue.QUEUED, running.queued.get(function, 0), (function,))
            for state in _STATES:
                yield Reading(catalogue.WORKERS, states[function, state], (function, state.value))

    def _with(self, live: Iterable[Invocation]) -> dict[tuple[str, str], Series]:
        """Copies of all series, to which that has been added what flowed in invocations that run."""
        found = {key: series.copy() for key, series in self._series.items()}
        for invocation in live:
            found.setdefault((invocation.function, invocation.mode), Series()).flow(invocation)
        return found

    def _forget(self, keep: set[str]) -> None:
        for key in [key for key in self._series if key[0] not in keep]:
            del self._series[key]
        for key in [key for key in self._starts if key[0] not in keep]:
            del self._starts[key]
