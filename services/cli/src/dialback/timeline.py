"""Measures a run of the public port, and draws runs side by side, each on one time scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from dialback.exchange import Exchange, Incoming, Outgoing
from dialback.gap_view import gaps_of
from dialback.terminal import QUIET, milliseconds, safe, size

WAITING, ARRIVED, QUIETLY = "┄", "▌", "─"
STYLES = {"buffered": "yellow", "callback": "green", "tunnel": "cyan"}


@dataclass(slots=True)
class Run:
    """One request in one mode. Times in milliseconds after it began to be sent; `cold_ms`: it started a worker."""

    mode: str
    status: int | None = None
    invocation: str = ""
    arrivals: list[float] = field(default_factory=list)
    received: int = 0
    total_ms: float = 0.0
    cold_ms: float | None = None
    error: str = ""

    @property
    def first_byte_ms(self) -> float | None:
        return self.arrivals[0] if self.arrivals else None

    def gap(self, share: float) -> float | None:
        """The gap between chunks that `share` of the gaps do not exceed."""
        gaps = sorted(b - a for a, b in zip(self.arrivals, self.arrivals[1:], strict=False))
        return gaps[min(len(gaps) - 1, int(share * len(gaps)))] if gaps else None

    def as_json(self) -> dict[str, object]:
        return {
            "mode": self.mode,
            "id": self.invocation,
            "status": self.status,
            "first_byte_ms": self.first_byte_ms,
            "total_ms": self.total_ms,
            "bytes": self.received,
            "chunks": len(self.arrivals),
            "gaps": gaps_of(self.arrivals).model_dump(mode="json"),
            "cold_ms": self.cold_ms,
            "error": self.error or None,
        }


def measure(mode: str, base_url: str, outgoing: Outgoing, run: Run | None = None) -> Iterator[Run]:
    """Run it, yielding the same growing Run after every step; Truncated and Unreachable leave as they are."""
    run = run or Run(mode)
    whole = True
    for step in Exchange(base_url, outgoing).run():
        run.total_ms = step.t
        if isinstance(step, Incoming):
            run.status, run.invocation = step.status, step.invocation
        else:
            if whole:
                run.arrivals.append(step.t)
            run.received += len(step.data)
            whole = step.complete
        yield run


@dataclass(frozen=True, slots=True)
class SideBySide:
    """A rich renderable of runs: a bar for each, then the numbers."""

    runs: Sequence[Run]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = max((run.total_ms for run in self.runs), default=0.0) or 1.0
        width = max(10, min(80, options.max_width - 26))
        yield Text(
            "  " + " " * 10 + "0 " + "─" * max(1, width - 3 - len(milliseconds(whole))) + " " + milliseconds(whole),
            QUIET,
        )
        for run in self.runs:
            yield Text("  ").append(safe(run.mode).ljust(10)).append_text(bar(run, whole, width))
        yield Text()
        yield numbers(self.runs)
        if any(run.cold_ms is not None or run.error for run in self.runs):
            yield Text()
        for run in self.runs:
            if run.cold_ms is not None:
                yield Text(f"  {run.mode} started a worker first, {milliseconds(run.cold_ms)} of its time", QUIET)
            if run.error:
                yield Text(f"  {run.mode}: {safe(run.error)}", "red")


def bar(run: Run, whole: float, width: int) -> Text:
    """`┄┄┄┄┄▌──▌──▌`: waiting for the first byte, then a mark wherever something arrived."""
    style = STYLES.get(run.mode, "cyan")
    columns = {min(width - 1, int(at / whole * width)) for at in run.arrivals}
    end = min(width - 1, int(run.total_ms / whole * width))
    first = min(columns, default=end + 1)
    line = Text()
    for column in range(end + 1):
        if column in columns:
            line.append(ARRIVED, style)
        else:
            line.append(WAITING if column < first else QUIETLY, QUIET)
    return line


def numbers(runs: Sequence[Run]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style=QUIET)
    table.add_column("  mode")
    for name in ("status", "first byte", "total", "chunks", "size", "gap p50", "gap p99"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in runs:
        values = (run.first_byte_ms, run.total_ms, run.gap(0.5), run.gap(0.99))
        first, total, middle, late = ("-" if value is None else milliseconds(value) for value in values)
        table.add_row(
            Text("  " + safe(run.mode), STYLES.get(run.mode, "cyan")),
            "-" if run.status is None else str(run.status),
            Text(first, "bold"),
            total,
            f"{len(run.arrivals):,}",
            size(run.received),
            middle,
            late,
        )
    return table
