"""What the figures must reach, with every check of the platform on. A target that was not measured has not been met.

`must` decides; `reach` is what the documentation explains when it is missed. A row that names no mode is judged in
both modes that stream.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from bench.results import Results
from bench.workloads import GROWTH, STREAM_MEMORY, WORKLOADS, Figure

SEPARATE = ("dialback", "dialback-tunnel")
ONE = ("dialback-up", "dialback-up-tunnel")

Measure = Callable[[Results, str], float | None]


@dataclass(frozen=True, slots=True)
class Limit:
    must: float
    reach: float | None = None

    def __str__(self) -> str:
        return f"{self.must:g}" if self.reach is None else f"{self.must:g} / {self.reach:g}"


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """`measure` gives a subject's figure, or None when there is none. `better`: "more" or "less"."""

    workload: str
    text: str
    measure: Measure
    limits: Mapping[str, Limit]
    better: str = "more"
    digits: int = 2

    def keeps(self, value: float, limit: float) -> bool:
        return value >= limit if self.better == "more" else value <= limit


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one subject on one target. `met` is None when nothing was measured."""

    target: Target
    subject: str
    value: float | None
    met: bool | None
    reached: bool

    @property
    def word(self) -> str:
        if self.met is None:
            return "not measured"
        if not self.met:
            return "MISS"
        return "reached" if self.reached else "must kept"


def judge(results: Results, workloads: Collection[str]) -> list[Verdict]:
    """The verdicts on all targets of these workloads, for each subject of the run that they are set for."""
    verdicts: list[Verdict] = []
    for target in TARGETS:
        for subject, limit in target.limits.items():
            if target.workload not in workloads or subject not in results.subjects:
                continue
            value = target.measure(results, subject)
            met, reached = None, False
            if value is not None:
                whole = not results.errors(target.workload, subject)
                met = whole and target.keeps(value, limit.must)
                reached = met and (limit.reach is None or target.keeps(value, limit.reach))
            verdicts.append(Verdict(target, subject, value, met, reached))
    return verdicts


def _figure(workload: str, key: str) -> Figure:
    return next(figure for figure in WORKLOADS[workload].figures if figure.key == key)


def _ratio(workload: str, key: str, peer: str = "nginx") -> Measure:
    """The median of the ratios to a peer."""

    def measure(results: Results, subject: str) -> float | None:
        spread = results.ratio(workload, subject, _figure(workload, key), peer)
        return spread.median if spread else None

    return measure


def _median(workload: str, key: str) -> Measure:
    def measure(results: Results, subject: str) -> float | None:
        spread = results.spread(workload, subject, key)
        return spread.median if spread else None

    return measure


def _worst(workload: str, key: str) -> Measure:
    """The highest of all rounds: one bad round decides."""

    def measure(results: Results, subject: str) -> float | None:
        spread = results.spread(workload, subject, key)
        return spread.most if spread else None

    return measure


def _both_modes(separate: Limit, one: Limit) -> dict[str, Limit]:
    return {**dict.fromkeys(SEPARATE, separate), **dict.fromkeys(ONE, one)}


def _callback(separate: Limit, one: Limit) -> dict[str, Limit]:
    return {"dialback": separate, "dialback-up": one}


def _tunnel(separate: Limit, one: Limit) -> dict[str, Limit]:
    return {"dialback-tunnel": separate, "dialback-up-tunnel": one}


def _everywhere(must: float) -> dict[str, Limit]:
    return _both_modes(Limit(must), Limit(must))


TARGETS = (
    Target(
        "hello32", "hello, 32 clients, tunnel", _ratio("hello32", "rate"), _tunnel(Limit(0.5, 0.8), Limit(0.85, 1.1))
    ),
    Target(
        "hello32",
        "hello, 32 clients, callback",
        _ratio("hello32", "rate"),
        _callback(Limit(0.25, 0.4), Limit(0.35, 0.6)),
    ),
    Target(
        "hello1",
        "hello, 1 client, p50, tunnel",
        _ratio("hello1", "p50_ms"),
        _tunnel(Limit(0.33, 0.5), Limit(0.45, 0.7)),
    ),
    Target(
        "stream",
        "first byte of a stream",
        _ratio("stream", "first_byte_ms"),
        _both_modes(Limit(0.45, 0.7), Limit(0.55, 0.8)),
    ),
    Target("stream", "delay of a chunk", _ratio("stream", "delay_ms"), _both_modes(Limit(0.38, 0.55), Limit(0.5, 0.8))),
    # To nginx, not to 1: a machine that pauses for 5 ms merges two chunks of anybody's.
    Target("spaced", "chunks 5 ms apart that come alone", _ratio("spaced", "separate_share"), _everywhere(0.97)),
    Target("bulk", "bulk, default nginx", _ratio("bulk", "mb_per_s"), _both_modes(Limit(1.5, 2.0), Limit(2.0, 2.4))),
    Target(
        "bulk",
        "bulk, nginx with proxy_buffer_size 128k",
        _ratio("bulk", "mb_per_s", "nginx-tuned"),
        _both_modes(Limit(0.55, 0.9), Limit(0.75, 1.0)),
    ),
    Target(
        "tiny",
        "tiny chunks a second",
        _ratio("tiny", "chunks_per_s"),
        _both_modes(Limit(12, 25), Limit(15, 30)),
        digits=1,
    ),
    Target(
        "sse",
        "KiB (PSS) per idle SSE stream, of 1,000",
        _median("sse", STREAM_MEMORY),
        _both_modes(Limit(30, 15), Limit(22, 10)),
        "less",
        1,
    ),
    Target("sse", "events lost, worst round", _worst("sse", "lost"), _everywhere(0), "less", 0),
    Target("sse", "streams cut, worst round", _worst("sse", "broken"), _everywhere(0), "less", 0),
    Target(
        "upload",
        "1 GB upload, to uvicorn reading it direct",
        _ratio("upload", "mb_per_s", "uvicorn"),
        _both_modes(Limit(0.3, 0.5), Limit(0.4, 0.6)),
    ),
    Target("download", "1 GB down: MiB that a process grows", _worst("download", GROWTH), _everywhere(8), "less", 1),
    Target("upload", "1 GB up: MiB that a process grows", _worst("upload", GROWTH), _everywhere(8), "less", 1),
    Target(
        "cold-bare",
        "cold start over warm, bare, ms",
        _median("cold-bare", "over_ms"),
        _callback(Limit(25), Limit(15)),
        "less",
        1,
    ),
    Target(
        "cold-fastapi",
        "cold start over warm, FastAPI, ms",
        _median("cold-fastapi", "over_ms"),
        _callback(Limit(40), Limit(25)),
        "less",
        1,
    ),
    Target("mixed", "hello p99 while 200 streams run, to idle", _median("mixed", "times"), _everywhere(2), "less"),
    Target(
        "hello32",
        "hello, 32 clients, to workerd",
        _ratio("hello32", "rate", "workerd"),
        {"dialback-up-tunnel": Limit(1)},
    ),
    Target(
        "hello32",
        "hello, 32 clients, to functions-framework, Python",
        _ratio("hello32", "rate", "functions-python"),
        {"dialback-up-tunnel": Limit(3)},
    ),
    Target(
        "hello32",
        "hello, 32 clients, to functions-framework, Node",
        _ratio("hello32", "rate", "functions-node"),
        {"dialback-up-tunnel": Limit(3)},
    ),
)
