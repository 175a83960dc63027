"""A replay as it is told by the platform, event by event, and as a table of then and now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pydantic import JsonValue
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from dialback.control_models import Measure, ReplayComparison, ReplayEnd, ReplayPlan, Trace
from dialback.errors import CliError
from dialback.request_parts import headers as parsed
from dialback.terminal import QUIET, milliseconds, safe, size

Event = tuple[str, str]
"""The event's name and its data, JSON."""

BODIES = {
    "same": "the bodies are the same, by length and checksum",
    "different": "the bodies differ",
    "unknown": "whether the bodies are the same is not known",
}
_NAMES = {
    "status": "status",
    "verdict": "verdict",
    "first_byte_ms": "first byte",
    "total_ms": "total",
    "bytes_out": "size",
    "chunks": "chunks",
}


def headers_of(lines: Sequence[str]) -> dict[str, str]:
    """`Name: value` each; UsageProblem otherwise."""
    return {name.decode(): value.decode() for name, value in parsed(lines)}


class Replay:
    """Reads the events to their end. A rich renderable of what came of it."""

    def __init__(self, events: Iterator[Event], note: Callable[[str], None]) -> None:
        """`note` is told how far it is."""
        self.plan = ReplayPlan()
        self.end: ReplayEnd | None = None
        self.trace: Trace | None = None
        self.comparison: ReplayComparison | None = None
        chunks = 0
        for name, data in events:
            if name == "plan":
                self.plan = ReplayPlan.model_validate_json(data)
            elif name == "chunk":
                chunks += 1
                note(f"asking again · {chunks} chunks")
            elif name == "end":
                self.end = ReplayEnd.model_validate_json(data)
            elif name == "trace":
                self.trace = Trace.model_validate_json(data)
            elif name == "comparison":
                self.comparison = ReplayComparison.model_validate_json(data)

    def as_json(self) -> dict[str, JsonValue]:
        """What was planned, how the replay went, and the comparison."""
        details = {"frames", "payload", "request"}
        return {
            "plan": self.plan.model_dump(mode="json"),
            "replay": None if self.trace is None else self.trace.model_dump(mode="json", exclude=details),
            "comparison": None if self.comparison is None else self.comparison.model_dump(mode="json"),
        }

    def raise_failure(self) -> None:
        """CliError when the request was not answered whole."""
        if self.end is None:
            raise CliError("the platform stopped reporting before the replay was over", hint="is it still running?")
        if not self.end.ok:
            why = self.end.error or "the answer did not end well"
            raise CliError(why, hint=f"`dialback trace {self.end.id}` shows why" if self.end.id else "")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        plan = self.plan
        yield Text(f"  {safe(plan.original.method)} {safe(plan.original.path)}", "bold")
        yield Text(f"  then: deployment {safe(plan.original.deployment)}, {safe(plan.original.mode)}", QUIET)
        active = "the active deployment" if plan.active else "deployment"
        yield Text(f"  now:  {active} {safe(plan.deployment)}, {safe(plan.mode)}", QUIET)
        if plan.left_out:
            names = ", ".join(map(safe, plan.left_out))
            yield Text(f"  sent without {names}: credentials are not recorded; -H gives them again", "yellow")
        yield Text()
        if self.comparison is not None:
            yield _table(self.comparison.measures)
            yield Text()
            yield Text(f"  {BODIES.get(self.comparison.body, BODIES['unknown'])}")
        if self.trace is not None:
            yield Text(f"  dialback trace {safe(self.trace.id)}", QUIET)


def _table(measures: dict[str, Measure]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style=QUIET)
    table.add_column("  ")
    for name in ("then", "now", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, measure in measures.items():
        before, after = _shown(name, measure.before), _shown(name, measure.after)
        table.add_row(f"  {_NAMES.get(name, safe(name))}", before, Text(after, "bold"), _difference(measure))
    return table


def _shown(name: str, value: JsonValue) -> str:
    if value is None:
        return "-"
    if isinstance(value, int | float) and name.endswith("_ms"):
        return milliseconds(value)
    if isinstance(value, int) and name == "bytes_out":
        return size(value)
    return safe(str(value))


def _difference(measure: Measure) -> str:
    if measure.difference is not None:
        sign = "+" if measure.difference >= 0 else "-"
        return f"{sign}{milliseconds(abs(measure.difference))}"
    return "" if measure.before == measure.after else "different"
