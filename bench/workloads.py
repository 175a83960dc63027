"""The workloads: what the load generator is asked to do, and which of its figures are reported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

GB = 1_000_000_000
CPU = "cpu_us"
STREAM_MEMORY = "kib_per_stream"
GROWTH = "growth_mib"
COLD = "cold"

NGINX = ("nginx",)
TWO = ("dialback", "dialback-up")
FOUR = ("dialback", "dialback-tunnel", "dialback-up", "dialback-up-tunnel")
COLD_STARTERS = ("dialback", "dialback-spawn", "dialback-up", "dialback-up-spawn")


@dataclass(frozen=True, slots=True)
class Figure:
    """One column of a visit's result. `better`: "more" or "less" where a ratio makes sense, else ""."""

    key: str
    title: str
    better: str = ""
    digits: int = 0


@dataclass(frozen=True, slots=True)
class Workload:
    """`options` and `quick` go to the load generator; `rounds` and `quick_rounds` are how often each server is visited.

    `fresh`: the server is started anew before each visit, because memory is measured. `tuned`: nginx with large proxy
    buffers is a peer of its own here, because bulk data is where they matter. `operation`: what CPU time is told per;
    none where it would say nothing.
    `subjects`: who is visited when nobody is named (empty: all usual ones); `quick_subjects`: the same when quick.
    A workload with no `quick_rounds` is left out when quick, unless it is asked for. `only`: nobody else can do it.
    `variant`: the function. `files`: open files that a server needs for its clients.
    """

    name: str
    title: str
    load: str
    options: Mapping[str, Any]
    quick: Mapping[str, Any]
    figures: tuple[Figure, ...]
    operation: str
    rounds: int = 5
    quick_rounds: int = 3
    fresh: bool = False
    tuned: bool = False
    warm: Mapping[str, Any] = field(default_factory=dict)
    timeout: float = 120
    subjects: tuple[str, ...] = ()
    quick_subjects: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    variant: str = "app"
    files: int = 0

    against: str = ""
    """another server than nginx that the ratios are also to"""

    @property
    def yardsticks(self) -> dict[str, str]:
        """What ratios are to, always visited: the server's name and the title of the ratio's column."""
        if self.only:
            return {}
        if self.tuned:
            return {"nginx": "× nginx, default buffers", "nginx-tuned": "× nginx, proxy_buffer_size 128k"}
        more = {self.against: f"× {self.against}"} if self.against else {}
        return {"nginx": "× nginx", **more}

    def visited(self, asked: Sequence[str], quick: bool, usual: Sequence[str]) -> list[str]:
        """Who is visited when `asked` are named, or nobody is."""
        if self.only:
            return [name for name in self.only if not asked or name in asked]
        chosen = asked or (quick and self.quick_subjects) or self.subjects or usual
        names = [*self.yardsticks, *(name for name in chosen if name not in self.yardsticks)]
        return [name for name in names if self.tuned or name != "nginx-tuned"]

    @property
    def all_figures(self) -> tuple[Figure, ...]:
        """The workload's own, and the CPU time of the server's whole process tree, which every visit has."""
        if not self.operation:
            return self.figures
        return (
            *self.figures,
            Figure(CPU, f"server CPU, µs a{'n' * (self.operation == 'event')} {self.operation}", "less", 1),
        )


def _hello(clients: int, seconds: float, warm: float = 0.3) -> dict[str, Any]:
    return {"clients": clients, "seconds": seconds, "warm": warm}


def _bulk(size: int) -> dict[str, Any]:
    return {"target": f"/bulk?bytes={size}&chunk=65536", "size": size, "pieces": -(-size // 65536)}


def _tiny(count: int, more: str = "") -> dict[str, Any]:
    return {"target": f"/tiny?count={count}&size=64{more}", "size": count * 64, "pieces": count}


def _cold(variant: str, what: str) -> Workload:
    return Workload(
        f"cold-{variant}",
        f"the first request from zero workers, {what}",
        load=COLD,
        options={"starts": 5, "warm": 20},
        quick={"starts": 3, "warm": 10},
        figures=(
            Figure("over_ms", "over warm, ms", digits=1),
            Figure("cold_ms", "first request, ms", digits=1),
            Figure("warm_ms", "warm request, ms", digits=2),
            Figure("held_mib", "held at zero workers, MiB (PSS)", digits=1),
        ),
        operation="",
        rounds=3,
        quick_rounds=0,
        fresh=True,
        subjects=COLD_STARTERS,
        only=COLD_STARTERS,
        variant=variant,
    )


SSE_FIGURES = (
    Figure(STREAM_MEMORY, "KiB (PSS) a stream", digits=1),
    Figure("lost", "events lost"),
    Figure("broken", "streams cut"),
    Figure("delay_p99_ms", "p99 delay of an event, ms", digits=1),
)

WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload(
            "hello32",
            "12 bytes, 32 clients",
            load="hello",
            options=_hello(32, 3.0),
            quick=_hello(32, 0.6, 0.15),
            figures=(Figure("rate", "requests/s", "more"), Figure("p99_ms", "p99, ms", digits=2)),
            operation="request",
        ),
        Workload(
            "hello1",
            "12 bytes, 1 client",
            load="hello",
            options=_hello(1, 2.0),
            quick=_hello(1, 0.4, 0.1),
            figures=(Figure("p50_ms", "p50, ms", "less", 3), Figure("p99_ms", "p99, ms", digits=2)),
            operation="request",
            quick_rounds=2,
        ),
        Workload(
            "stream",
            "ten chunks of 100 bytes, 20 ms apart",
            load="stream",
            options={"streams": 10, "count": 10, "gap": 0.02},
            quick={"streams": 3, "count": 10, "gap": 0.02},
            figures=(
                Figure("first_byte_ms", "first byte, ms", "less", 2),
                Figure("delay_ms", "delay of a chunk, ms", "less", 2),
                Figure("delay_p99_ms", "its p99, ms", digits=2),
            ),
            operation="chunk",
            quick_rounds=2,
        ),
        Workload(
            "spaced",
            "chunks 5 ms apart, each in a read of its own",
            load="stream",
            options={"streams": 3, "count": 100, "gap": 0.005},
            quick={"streams": 1, "count": 100, "gap": 0.005},
            figures=(Figure("separate_share", "share that came separately", "more", 3),),
            operation="chunk",
            quick_rounds=1,
            quick_subjects=(*NGINX, *FOUR),
        ),
        Workload(
            "bulk",
            "256 MB in chunks of 64 KB (64 MB when quick)",
            load="download",
            options=_bulk(256_000_000),
            quick=_bulk(64_000_000),
            figures=(Figure("mb_per_s", "MB/s", "more"),),
            operation="chunk",
            tuned=True,
            quick_rounds=2,
        ),
        Workload(
            "tiny",
            "100,000 chunks of 64 bytes",
            load="download",
            options=_tiny(100_000),
            quick=_tiny(100_000),
            figures=(Figure("chunks_per_s", "chunks/s", "more"),),
            operation="chunk",
            quick_rounds=2,
            quick_subjects=(*NGINX, *FOUR),
        ),
        Workload(
            "turns",
            "20,000 chunks of 64 bytes, one a turn of the function's event loop",
            load="download",
            options=_tiny(20_000, "&turn=1"),
            quick=_tiny(10_000, "&turn=1"),
            figures=(Figure("chunks_per_s", "chunks/s", "more"),),
            operation="chunk",
            quick_rounds=0,
        ),
        Workload(
            "sse",
            "1,000 streams at once, an event a second each",
            load="sse",
            options={"streams": 1000, "count": 12, "gap": 1.0},
            quick={"streams": 1000, "count": 4, "gap": 1.0},
            figures=SSE_FIGURES,
            operation="event",
            rounds=3,
            quick_rounds=1,
            fresh=True,
            quick_subjects=(*NGINX, *TWO),
        ),
        Workload(
            "sse10k",
            "10,000 streams at once, an event every five seconds each",
            load="sse",
            options={"streams": 10_000, "count": 6, "gap": 5.0, "waiting": 300},
            quick={"streams": 10_000, "count": 5, "gap": 5.0, "waiting": 300},
            figures=SSE_FIGURES,
            operation="event",
            rounds=2,
            quick_rounds=0,
            fresh=True,
            subjects=("uvicorn", *NGINX, *FOUR),
            files=10_300,
            timeout=180,
        ),
        Workload(
            "mixed",
            "12 bytes, 1 client: alone, then beside 200 streams with ten events a second each",
            load="mixed",
            options={"streams": 200, "gap": 0.1, "seconds": 3.0},
            quick={"streams": 200, "gap": 0.1, "seconds": 1.5},
            figures=(
                Figure("times", "p99 beside streams / alone", digits=2),
                Figure("idle_p99_ms", "p99 alone, ms", digits=2),
                Figure("mixed_p99_ms", "p99 beside, ms", digits=2),
                Figure("idle_p50_ms", "p50 alone, ms", digits=2),
                Figure("mixed_p50_ms", "p50 beside, ms", digits=2),
            ),
            operation="",
            quick_rounds=0,
            subjects=("uvicorn", *NGINX, "workerd", "functions-node", *FOUR),
        ),
        Workload(
            "download",
            "1 GB down (300 MB when quick)",
            load="download",
            options=_bulk(GB),
            quick=_bulk(300_000_000),
            subjects=("uvicorn", *NGINX, "nginx-tuned", *FOUR),
            figures=(Figure("mb_per_s", "MB/s", "more"), Figure(GROWTH, "largest growth of a process, MiB", digits=1)),
            operation="chunk",
            rounds=3,
            quick_rounds=0,
            fresh=True,
            tuned=True,
            warm={"load": "download", "options": _bulk(16_000_000)},
        ),
        Workload(
            "upload",
            "1 GB up (300 MB when quick)",
            load="upload",
            options={"size": GB},
            quick={"size": 300_000_000},
            quick_subjects=("uvicorn", *NGINX, *TWO),
            against="uvicorn",
            figures=(Figure("mb_per_s", "MB/s", "more"), Figure(GROWTH, "largest growth of a process, MiB", digits=1)),
            operation="MB",
            rounds=3,
            quick_rounds=1,
            fresh=True,
            warm={"load": "upload", "options": {"size": 16_000_000}},
        ),
        *(_cold(variant, what) for variant, what in (("bare", "a bare handler"), ("fastapi", "a FastAPI application"))),
    )
}
