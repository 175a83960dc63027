"""A check's result for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from dialback.checking.analysis import Verdict
from dialback.checking.session import Checked, Way
from dialback.terminal import ACCENT, QUIET, milliseconds, safe

STYLES = {
    Verdict.STREAMS: "bold green",
    Verdict.CHANGED: "bold yellow",
    Verdict.BLOCKS: "bold red",
    Verdict.BUFFERED: "bold red",
    Verdict.UNCLEAR: "bold yellow",
}
LABEL = 10
MARK, EMPTY = "▌", "·"


def check_lines(checked: Checked, width: int) -> Iterator[Text]:
    """The verdict, its reasons, where, what to do, and both time lines."""
    way = checked.way
    yield Text.assemble((safe(way.seen.url), ACCENT), "  ", (way.finding.verdict.value, STYLES[way.finding.verdict]))
    for reason in way.finding.reasons:
        yield Text(f"  {safe(reason)}")
    for note in way.finding.notes:
        yield Text(f"  {safe(note)}", QUIET)
    if checked.direct is not None:
        finding = checked.direct.finding
        said = Text.assemble(("  direct".ljust(LABEL + 2), QUIET), (safe(checked.direct.seen.url), ACCENT))
        yield said.append(f"  {finding.verdict.value}", STYLES[finding.verdict])
        if not finding.good:
            yield from (Text(f"{' ' * (LABEL + 2)}{safe(reason)}") for reason in finding.reasons)
    if checked.where:
        yield Text.assemble(("  where".ljust(LABEL + 2), QUIET), safe(checked.where))
    if checked.names:
        yield Text.assemble(("  on the way".ljust(LABEL + 2), QUIET), " ", ", ".join(checked.names))
    for text in checked.advice:
        yield Text.assemble(("  do".ljust(LABEL + 2), QUIET), safe(text))
    if way.finding.verdict is Verdict.UNCLEAR:
        yield Text.assemble(("  do".ljust(LABEL + 2), QUIET), "--probe sends marked chunks through the same way")
    yield from _time_lines(way, max(20, min(60, width - LABEL - 14)))


def _time_lines(way: Way, room: int) -> Iterator[Text]:
    """When marks were sent and when they came, on one scale; without marks only what came."""
    marks = way.seen.marks
    if len(marks) >= 2:
        sent = [mark.sent - marks[0].sent for mark in marks]
        came = [mark.at - min(mark.at - when for mark, when in zip(marks, sent, strict=True)) for mark in marks]
        rows: tuple[tuple[str, Sequence[float]], ...] = (("sent", sent), ("came", came))
    else:
        rows = (("came", [at for at, _ in way.seen.arrivals]),)
    whole = max(max(times) for _, times in rows) or 1.0
    for label, times in rows:
        cells = [EMPTY] * room
        for time in times:
            cells[min(room - 1, int(time / whole * room))] = MARK
        line = Text(f"  {label.ljust(LABEL)}", QUIET)
        for cell in cells:
            line.append(cell, QUIET if cell == EMPTY else "green" if label == "sent" or way.finding.good else "red")
        yield line.append(f" {milliseconds(max(times) * 1000)}", QUIET)


def check_json(checked: Checked) -> dict[str, object]:
    """Times in milliseconds, sizes in bytes."""
    finding = checked.way.finding
    return {
        "url": checked.way.seen.url,
        "verdict": finding.verdict.value,
        "good": finding.good,
        "where": checked.where,
        "reasons": list(finding.reasons),
        "notes": list(finding.notes),
        "block": finding.block,
        "intermediaries": list(checked.names),
        "advice": list(checked.advice),
        "ways": [_way(way) for way in (checked.way, checked.direct) if way is not None],
    }


def _way(way: Way) -> dict[str, object]:
    seen = way.seen
    wait = way.finding.longest_wait
    return {
        "label": way.label,
        "url": seen.url,
        "verdict": way.finding.verdict.value,
        "reasons": list(way.finding.reasons),
        "status": seen.status,
        "http_version": seen.version,
        "head_ms": _ms(seen.head_at),
        "first_byte_ms": _ms(seen.arrivals[0][0]),
        "last_byte_ms": _ms(seen.arrivals[-1][0]),
        "bytes": seen.received,
        "pieces": len(seen.arrivals),
        "marks": len(seen.marks),
        "longest_wait_ms": None if wait is None else _ms(wait),
        "invocation": seen.header("x-dialback-id") or None,
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
