"""The findings for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from dialback.doctor.findings import Finding, Grade
from dialback.terminal import QUIET, safe

MARKS = {
    Grade.OK: ("ok", "green"),
    Grade.NOTE: ("note", QUIET),
    Grade.WARN: ("warn", "yellow"),
    Grade.BROKEN: ("broken", "bold red"),
}
MARK_WIDTH, WHAT_WIDTH = 8, 20


def findings_lines(found: Sequence[Finding]) -> Iterator[Text]:
    """One line each, a second one with what to do; a sum at the end."""
    for finding in found:
        word, style = MARKS[finding.grade]
        yield Text.assemble((word.ljust(MARK_WIDTH), style), finding.what.ljust(WHAT_WIDTH), safe(finding.found))
        if finding.do:
            yield Text(f"{' ' * (MARK_WIDTH + WHAT_WIDTH)}{safe(finding.do)}", QUIET)
    broken = sum(finding.grade is Grade.BROKEN for finding in found)
    warned = sum(finding.grade is Grade.WARN for finding in found)
    yield Text()
    if broken:
        yield Text(f"{broken} broken: the platform cannot run as it is set up", "bold red")
    elif warned:
        yield Text(f"the platform can run; {warned} to look at", "yellow")
    else:
        yield Text("all is well", "green")


def findings_json(found: Sequence[Finding]) -> dict[str, object]:
    """`ok` is false when something is broken."""
    listed = [{"what": f.what, "grade": f.grade.value, "found": f.found, "do": f.do or None} for f in found]
    return {"ok": all(finding.grade is not Grade.BROKEN for finding in found), "findings": listed}
