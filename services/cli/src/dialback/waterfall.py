"""Draws one invocation: what happened when, what took how long, how evenly it flowed, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from dialback.control_models import Trace
from dialback.ending import NO_FAULT, verdict_words
from dialback.gap_view import blocked_lines, gap_lines
from dialback.terminal import QUIET, milliseconds, safe, size

LABEL = 20
NUMBER = 10
NARROWEST_BAR = 10
WIDEST_BAR = 84
BAR = "━"
MOMENT = "╸"


@dataclass(frozen=True, slots=True)
class Span:
    """A row: it ends at one mark and begins at the first of `since` that was made."""

    label: str
    end: str
    since: tuple[str, ...]
    style: str
    depth: int = 0


PLATFORM, START, DIAL, FUNCTION, STREAM = "blue", "yellow", "magenta", "green", "bright_green"

SPANS = (
    Span("received", "received", (), PLATFORM),
    Span("admitted", "admitted", ("received",), PLATFORM),
    Span("queued", "payload_handed", ("queued",), PLATFORM),
    Span("worker start", "worker_ready", ("worker_start",), START, 1),
    Span("spawn", "worker_spawned", ("worker_start",), START, 2),
    Span("boot", "worker_ready", ("worker_spawned",), START, 2),
    Span("payload handed", "payload_handed", ("worker_ready", "admitted", "received"), DIAL),
    Span("dial-back", "dialed_back", ("payload_handed",), DIAL),
    Span("token accepted", "token_accepted", ("dialed_back", "payload_handed"), DIAL),
    Span("head", "head", ("token_accepted", "payload_handed", "admitted"), FUNCTION),
    Span("first byte", "first_byte", ("head",), FUNCTION),
    Span("body", "last_byte", ("first_byte",), STREAM),
    Span("end", "end", ("last_byte", "head", "payload_handed", "queued", "admitted", "received"), PLATFORM),
    Span("runtime answered", "runtime_answered", ("end",), PLATFORM),
)
NAMED = {span.end for span in SPANS} | {start for span in SPANS for start in span.since}


@dataclass(frozen=True, slots=True)
class Waterfall:
    """A rich renderable of a trace."""

    trace: Trace

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        trace = self.trace
        yield from heading(trace)
        yield Text()
        yield from rows(trace, options.max_width)
        yield Text()
        if trace.gaps is not None and (trace.gaps.first or trace.gaps.histogram):
            yield from gap_lines(trace.gaps, options.max_width)
        if trace.blocked is not None:
            yield from blocked_lines(trace.blocked, duration(trace))
        yield Text()
        yield from verdict_lines(trace)


def duration(trace: Trace) -> float:
    """Milliseconds from `received` to the last mark."""
    return max((mark.t for mark in trace.marks if mark.t is not None), default=0.0)


def heading(trace: Trace) -> Iterator[Text]:
    """What was asked of whom, and what it answered."""
    first = Text("  ")
    first.append(f"{safe(trace.method)} {safe(trace.path)}", "bold")
    if trace.status is not None:
        first.append(f"  {trace.status}", "green" if trace.status < 400 else "red")
    facts = [
        trace.function,
        trace.mode,
        f"{'cold' if trace.cold else 'warm'} worker {trace.worker}" if trace.worker else "",
    ]
    if trace.received_at is not None:
        facts.append(time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(trace.received_at)))
    second = Text("  " + " · ".join(safe(fact) for fact in facts if fact), QUIET)
    yield first
    yield second
    yield Text("  " + safe(trace.id), QUIET)


def rows(trace: Trace, width: int) -> Iterator[Text]:
    """One row for each span whose end was marked; a mark that this version does not know becomes a moment."""
    bar = min(WIDEST_BAR, max(NARROWEST_BAR, width - LABEL - 2 * NUMBER - 4))
    whole = duration(trace) or 1.0
    header = Text("  " + " " * LABEL, QUIET)
    header.append("at".rjust(NUMBER)).append("took".rjust(NUMBER)).append("  ")
    yield header.append(_scale(whole, bar))
    for span in SPANS:
        end = trace.at(span.end)
        start = next((at for at in map(trace.at, span.since) if at is not None), None)
        if end is None or (span.since and start is None):
            continue
        yield _row(span, end if start is None else min(start, end), end, whole, bar)
    for mark in trace.marks:
        if mark.name not in NAMED and mark.t is not None:
            yield _row(Span(safe(mark.name), mark.name, (), PLATFORM), mark.t, mark.t, whole, bar)


def _row(span: Span, start: float, end: float, whole: float, width: int) -> Text:
    row = Text("  ")
    row.append(("  " * span.depth + span.label)[:LABEL].ljust(LABEL), "" if span.depth == 0 else QUIET)
    row.append(milliseconds(end).rjust(NUMBER), QUIET)
    row.append((milliseconds(end - start) if span.since else "").rjust(NUMBER))
    left = min(width - 1, int(start / whole * width))
    length = min(width - left, round((end - start) / whole * width))
    row.append("  " + " " * left)
    return row.append(BAR * length or MOMENT, span.style)


def _scale(whole: float, width: int) -> str:
    """`0 ─────────── 1.20 s`: what the bars' width stands for."""
    end = milliseconds(whole)
    return "0 " + "─" * max(1, width - len(end) - 3) + f" {end}"


def verdict_lines(trace: Trace) -> Iterator[Text]:
    """How it ended and who caused it; what went in and out."""
    line = Text("  ")
    if trace.verdict is None:
        line.append("… still running", "cyan")
    else:
        sign, style, words = verdict_words(trace.verdict, trace.cause or "", trace.code or "")
        what, comma, who = words.partition(",")
        line.append(f"{sign} {what}", f"bold {style}").append(comma + who)
        if trace.code and trace.code != NO_FAULT:
            line.append(f"  {safe(trace.code)}", QUIET)
    yield line
    if trace.detail:
        yield Text("    " + safe(trace.detail))
    counts = [f"{size(trace.bytes_in)} in", f"{size(trace.bytes_out)} out"]
    if trace.chunks is not None:
        counts.append(f"{trace.chunks:,} chunk{'' if trace.chunks == 1 else 's'}")
    yield Text("    " + " · ".join(counts), QUIET)
