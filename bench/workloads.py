"""The workloads: what the load generator is asked to do, and which of its figures are reported."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GB = 1_000_000_000
CPU = "cpu_us"
STREAM_MEMORY = "kib_per_stream"
GROWTH = "growth_mib"


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
    buffers is a peer of its own here, because bulk data is where they matter. `operation`: what CPU time is told per.
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

    @property
    def all_figures(self) -> tuple[Figure, ...]:
        """The workload's own, and the CPU time of the server's whole process tree, which every visit has."""
        return (
            *self.figures,
            Figure(CPU, f"server CPU, µs a{'n' * (self.operation == 'event')} {self.operation}", "less", 1),
        )


def _hello(clients: int, seconds: float) -> dict[str, Any]:
    return {"clients": clients, "seconds": seconds, "warm": 0.3}


def _bulk(size: int) -> dict[str, Any]:
    return {"target": f"/bulk?bytes={size}&chunk=65536", "size": size, "pieces": -(-size // 65536)}


def _tiny(count: int, more: str = "") -> dict[str, Any]:
    return {"target": f"/tiny?count={count}&size=64{more}", "size": count * 64, "pieces": count}


WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload(
            "hello32",
            "12 bytes, 32 clients",
            load="hello",
            options=_hello(32, 3.0),
            quick=_hello(32, 1.0),
            figures=(Figure("rate", "requests/s", "more"), Figure("p99_ms", "p99, ms", digits=2)),
            operation="request",
        ),
        Workload(
            "hello1",
            "12 bytes, 1 client",
            load="hello",
            options=_hello(1, 2.0),
            quick=_hello(1, 0.5),
            figures=(Figure("p50_ms", "p50, ms", "less", 3), Figure("p99_ms", "p99, ms", digits=2)),
            operation="request",
        ),
        Workload(
            "stream",
            "ten chunks of 100 bytes, 20 ms apart",
            load="stream",
            options={"streams": 10, "count": 10, "gap": 0.02},
            quick={"streams": 4, "count": 10, "gap": 0.02},
            figures=(
                Figure("first_byte_ms", "first byte, ms", "less", 2),
                Figure("delay_ms", "delay of a chunk, ms", "less", 2),
                Figure("delay_p99_ms", "its p99, ms", digits=2),
            ),
            operation="chunk",
        ),
        Workload(
            "spaced",
            "chunks 5 ms apart, each in a read of its own",
            load="stream",
            options={"streams": 3, "count": 100, "gap": 0.005},
            quick={"streams": 1, "count": 100, "gap": 0.005},
            figures=(Figure("separate_share", "share that came separately", "more", 3),),
            operation="chunk",
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
        ),
        Workload(
            "tiny",
            "100,000 chunks of 64 bytes (30,000 when quick)",
            load="download",
            options=_tiny(100_000),
            quick=_tiny(30_000),
            figures=(Figure("chunks_per_s", "chunks/s", "more"),),
            operation="chunk",
        ),
        Workload(
            "turns",
            "20,000 chunks of 64 bytes, one a turn of the function's event loop",
            load="download",
            options=_tiny(20_000, "&turn=1"),
            quick=_tiny(10_000, "&turn=1"),
            figures=(Figure("chunks_per_s", "chunks/s", "more"),),
            operation="chunk",
        ),
        Workload(
            "sse",
            "1,000 streams at once, an event a second each",
            load="sse",
            options={"streams": 1000, "count": 12, "gap": 1.0},
            quick={"streams": 1000, "count": 6, "gap": 1.0},
            figures=(
                Figure(STREAM_MEMORY, "KiB (PSS) a stream", digits=1),
                Figure("lost", "events lost"),
                Figure("broken", "streams cut"),
                Figure("delay_p99_ms", "p99 delay of an event, ms", digits=1),
            ),
            operation="event",
            rounds=3,
            quick_rounds=1,
            fresh=True,
        ),
        Workload(
            "download",
            "1 GB down (300 MB when quick)",
            load="download",
            options=_bulk(GB),
            quick=_bulk(300_000_000),
            figures=(Figure("mb_per_s", "MB/s", "more"), Figure(GROWTH, "largest growth of a process, MiB", digits=1)),
            operation="chunk",
            rounds=3,
            quick_rounds=1,
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
            figures=(Figure("mb_per_s", "MB/s", "more"), Figure(GROWTH, "largest growth of a process, MiB", digits=1)),
            operation="MB",
            rounds=3,
            quick_rounds=1,
            fresh=True,
            warm={"load": "upload", "options": {"size": 16_000_000}},
        ),
    )
}
