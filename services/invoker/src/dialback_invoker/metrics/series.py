"""What is counted of the invocations of one function in one mode."""

from collections import Counter
from collections.abc import Iterator, Mapping

from dialback_invoker.metrics import catalogue
from dialback_invoker.timeline import GAP_BUCKETS_MS
from dialback_invoker.trace import Invocation
from dialback_wire.messages import Verdict
from dialback_wire.metrics import Reading, Tally

PARTS = (
    ("launch", "worker_start", "worker_spawned"),
    ("load", "worker_spawned", "worker_ready"),
    ("dial", "payload_handed", "dialed_back"),
    ("head", "dialed_back", "head"),
)
"""The parts of a cold start, and the marks between which each lies."""

_GAP_SECONDS = tuple(bound / 1000 for bound in GAP_BUCKETS_MS)


class Series:
    """Bumped once for each invocation, at its end; what runs is added when somebody looks."""

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "chunks",
        "client_stall",
        "cold",
        "duration",
        "ends",
        "first_byte",
        "gaps",
        "head",
        "queue",
        "worker_stall",
    )

    def __init__(self) -> None:
        self.ends: Counter[tuple[Verdict, str, str]] = Counter()
        """By verdict, who ended it, and the phase."""
        self.queue = Tally()
        self.cold: dict[str, Tally] = {}
        self.head = Tally()
        self.first_byte = Tally()
        self.duration = Tally()
        self.gaps = Tally(_GAP_SECONDS)
        self.chunks = 0
        self.client_stall = 0.0
        self.worker_stall = 0.0
        self.bytes_in = 0
        self.bytes_out = 0

    def over(self, invocation: Invocation) -> None:
        """Count an invocation that has its outcome."""
        outcome = invocation.outcome
        assert outcome is not None
        self.ends[outcome.verdict, outcome.who, outcome.phase] += 1
        moments = invocation.exchange.timeline.moments
        received = moments["received"]
        if (head := moments.get("head")) is not None:
            self.head.add(head - received)
            if (first_byte := moments.get("first_byte")) is not None:
                self.first_byte.add(first_byte - received)
        if (end := moments.get("end")) is not None:
            self.duration.add(end - received)
        if "queued" in moments:
            self._waited(moments)
        self.flow(invocation)

    def _waited(self, moments: Mapping[str, float]) -> None:
        """It found no worker that was free, and perhaps none at all."""
        over = moments.get("payload_handed", moments.get("end"))
        self.queue.add(0.0 if over is None else over - moments["queued"])
        if "worker_start" not in moments:
            return
        for part, start, end in PARTS:
            if start in moments and end in moments:
                tally = self.cold.get(part)
                if tally is None:
                    tally = self.cold[part] = Tally()
                tally.add(moments[end] - moments[start])

    def flow(self, invocation: Invocation) -> None:
        """Add what has flowed so far, of one that is over or still runs."""
        exchange = invocation.exchange
        gaps = exchange.timeline.gaps
        self.bytes_in += exchange.received
        self.bytes_out += exchange.relayed
        self.chunks += gaps.count
        if gaps.count > 1:
            self.gaps.merge(gaps.histogram, gaps.seconds)
        client, worker = exchange.stalls()
        self.client_stall += client
        self.worker_stall += worker

    def copy(self) -> "Series":
        """As it is now."""
        made = Series()
        made.ends = self.ends.copy()
        made.cold = {part: tally.copy() for part, tally in self.cold.items()}
        made.queue, made.head, made.first_byte = self.queue.copy(), self.head.copy(), self.first_byte.copy()
        made.duration, made.gaps = self.duration.copy(), self.gaps.copy()
        made.chunks, made.bytes_in, made.bytes_out = self.chunks, self.bytes_in, self.bytes_out
        made.client_stall, made.worker_stall = self.client_stall, self.worker_stall
        return made

    def readings(self, function: str, mode: str) -> Iterator[Reading]:
        """Everything, for those labels; of requests for no function that there is, only their ends."""
        of = (function, mode)
        for (verdict, who, phase), count in self.ends.items():
            yield Reading(catalogue.INVOCATIONS, count, (*of, verdict.name.lower(), who + phase))
        if not function:
            # Nothing ran, so there is nothing to measure.
            return
        for metric, tally in (
            (catalogue.QUEUE, self.queue),
            (catalogue.HEAD, self.head),
            (catalogue.FIRST_BYTE, self.first_byte),
            (catalogue.DURATION, self.duration),
            (catalogue.GAPS, self.gaps),
        ):
            yield Reading(metric, tally, of)
        for part, tally in self.cold.items():
            yield Reading(catalogue.COLD_START, tally, (*of, part))
        yield Reading(catalogue.CHUNKS, self.chunks, of)
        yield Reading(catalogue.STALL, self.client_stall, (*of, "client"))
        yield Reading(catalogue.STALL, self.worker_stall, (*of, "worker"))
        yield Reading(catalogue.BYTES_IN, self.bytes_in, of)
        yield Reading(catalogue.BYTES_OUT, self.bytes_out, of)
