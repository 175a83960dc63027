"""What the figures must reach, with every check of the platform on. A target that was not measured has not been met."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.results import Results
from bench.subjects import YARDSTICK
from bench.workloads import GROWTH, STREAM_MEMORY, WORKLOADS, Figure

SUBJECT = "dialback"


@dataclass(frozen=True, slots=True)
class Target:
    """`measure` gives the figure that decides, or None when there is none; `least` or `most` is its limit."""

    workload: str
    text: str
    measure: Callable[[Results], float | None]
    least: float | None = None
    most: float | None = None
    digits: int = 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """`met` is None when nothing was measured."""

    target: Target
    value: float | None
    met: bool | None

    @property
    def word(self) -> str:
        return "not measured" if self.met is None else "pass" if self.met else "MISS"


def judge(results: Results, workloads: list[str]) -> list[Verdict]:
    """The verdicts on all targets of the workloads that were asked for."""
    verdicts: list[Verdict] = []
    if SUBJECT not in results.subjects:
        return verdicts
    for target in TARGETS:
        if target.workload not in workloads:
            continue
        value = target.measure(results)
        met = None
        if value is not None:
            met = (target.least is None or value >= target.least) and (target.most is None or value <= target.most)
            met = met and not results.errors(target.workload, SUBJECT)
        verdicts.append(Verdict(target, value, met))
    return verdicts


def _figure(workload: str, key: str) -> Figure:
    return next(figure for figure in WORKLOADS[workload].figures if figure.key == key)


def _ratio(workload: str, key: str) -> Callable[[Results], float | None]:
    """The median of the ratios to nginx with its defaults."""

    def measure(results: Results) -> float | None:
        spread = results.ratio(workload, SUBJECT, _figure(workload, key), YARDSTICK)
        return spread.median if spread else None

    return measure


def _median(workload: str, key: str) -> Callable[[Results], float | None]:
    def measure(results: Results) -> float | None:
        spread = results.spread(workload, SUBJECT, key)
        return spread.median if spread else None

    return measure


def _worst(workload: str, key: str) -> Callable[[Results], float | None]:
    """The highest of all rounds: one bad round decides."""

    def measure(results: Results) -> float | None:
        spread = results.spread(workload, SUBJECT, key)
        return spread.most if spread else None

    return measure


TARGETS = (
    Target("hello32", "requests/s with 32 clients, to nginx → uvicorn", _ratio("hello32", "rate"), least=0.12),
    Target("bulk", "bulk MB/s, to nginx → uvicorn with default buffers", _ratio("bulk", "mb_per_s"), least=1.0),
    Target("tiny", "tiny chunks/s, to nginx → uvicorn", _ratio("tiny", "chunks_per_s"), least=5.0),
    # To nginx, not to 1: a machine that pauses for 5 ms merges two chunks of anybody's.
    Target("spaced", "chunks 5 ms apart that come alone, to nginx → uvicorn", _ratio("spaced", "separate_share"), 0.97),
    Target("sse", "KiB (PSS) a stream, 1,000 streams", _median("sse", STREAM_MEMORY), most=45, digits=1),
    Target("sse", "events lost, worst round", _worst("sse", "lost"), most=0, digits=0),
    Target("sse", "streams cut, worst round", _worst("sse", "broken"), most=0, digits=0),
    Target(
        "download", "1 GB down: MiB that a process grows, worst round", _worst("download", GROWTH), most=8, digits=1
    ),
    Target("upload", "1 GB up: MiB that a process grows, worst round", _worst("upload", GROWTH), most=8, digits=1),
)
