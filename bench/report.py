"""The tables, in Markdown that also reads well in a terminal."""

from collections.abc import Sequence

from bench.results import Results, Spread
from bench.targets import ONE, SEPARATE, Verdict
from bench.workloads import WORKLOADS, Figure, Workload

BUSY = 0.85
"""A load generator that used more of a core than this may have been the limit itself."""

OTHERS = 0.25
"""Cores that anything else on the machine may use before a figure is called doubtful."""


def report(results: Results, verdicts: Sequence[Verdict]) -> str:
    parts = [missing(results), *(workload_table(results, WORKLOADS[name]) for name in results.visits)]
    parts += [f"### Targets\n\n{targets(verdicts)}" if verdicts else "", notes(results)]
    return "\n\n".join(part for part in parts if part)


def missing(results: Results) -> str:
    """The servers that could not be measured at all."""
    return "\n".join(f"**MISSING: {results.subjects[name]}**: {why}" for name, why in results.missing.items())


def workload_table(results: Results, workload: Workload) -> str:
    """One workload: every server, medians, ranges and ratios."""
    peers = [peer for peer in workload.yardsticks if results.values(workload.name, peer, workload.figures[0].key)]
    head = ["server"]
    for figure in workload.all_figures:
        head.append(figure.title)
        if figure.better:
            head += [workload.yardsticks[peer] for peer in peers]
    rows = [
        [title, *_cells(results, workload, name, peers)]
        for name, title in results.subjects.items()
        if name in results.visits[workload.name] or name in results.cannot.get(workload.name, {})
    ]
    rounds = max((len(by_round) for by_round in results.visits[workload.name].values()), default=0)
    title = f"### {workload.name}: {workload.title}, {rounds} round{'s' if rounds != 1 else ''}"
    return f"{title}\n\n{table(head, rows)}"


def _cells(results: Results, workload: Workload, name: str, peers: Sequence[str]) -> list[str]:
    if name in results.cannot.get(workload.name, {}):
        return ["cannot"]
    errors = results.errors(workload.name, name)
    if not results.visits[workload.name].get(name):
        return ["MISSING"]
    cells = []
    for figure in workload.all_figures:
        cells.append(_value(results.spread(workload.name, name, figure.key), figure))
        if figure.better:
            cells += [ratio_cell(results.ratio(workload.name, name, figure, peer), name == peer) for peer in peers]
    if errors:
        cells[0] = f"FAILED {len(errors)}× {cells[0]}".strip()
    return cells


def _value(spread: Spread | None, figure: Figure) -> str:
    if spread is None:
        return ""
    text = f"{spread.median:,.{figure.digits}f}"
    if spread.least != spread.most:
        text += f" ({spread.least:,.{figure.digits}f} to {spread.most:,.{figure.digits}f})"
    return text


def ratio_cell(spread: Spread | None, same: bool = False) -> str:
    """A median and, in brackets, its range."""
    return "1" if same else _value(spread, Figure("", "", digits=2))


def targets(verdicts: Sequence[Verdict]) -> str:
    """A row a target: what must be and is to be reached, and what is, by shape and mode."""
    rows = []
    for target in dict.fromkeys(verdict.target for verdict in verdicts):
        found = {verdict.subject: _verdict(verdict) for verdict in verdicts if verdict.target is target}
        row = [target.text]
        for shape in (SEPARATE, ONE):
            limits = [target.limits[name] for name in shape if name in target.limits]
            sign = "≥" if target.better == "more" else "≤"
            row.append(f"{sign} {limits[0]}" if limits else "")
            row += [found.get(name, "") for name in shape]
        rows.append(row)
    modes = ["callback", "tunnel"]
    head = ["target", "separate: must / reach", *modes, "one process: must / reach", *modes]
    return table(head, rows)


def _verdict(verdict: Verdict) -> str:
    if verdict.value is None:
        return verdict.word
    word = f"**{verdict.word}**" if verdict.met is False else verdict.word
    return f"{verdict.value:,.{verdict.target.digits}f} {word}"


def notes(results: Results) -> str:
    """What a reader must know before he believes a figure."""
    found = []
    disturbed = []
    for name in results.visits:
        others = [share for subject in results.subjects for share in results.values(name, subject, "others")]
        if max(others, default=0) > OTHERS:
            disturbed.append(f"{name} {max(others):.1f}")
        for subject, title in results.subjects.items():
            if reason := results.cannot.get(name, {}).get(subject):
                found.append(f"- {name}, {title}: not visited, it {reason}")
            found += [f"- FAILED: {name}, {title}: {error}" for error in results.errors(name, subject)]
            busy = max(results.values(name, subject, "busy"), default=0)
            if busy > BUSY:
                found.append(f"- {name}, {title}: the load generator was {busy:.0%} busy and may have been the limit")
    if disturbed:
        found.append(
            "- **The machine was not ours alone**: the most cores that other processes used during a visit of "
            + ", ".join(disturbed)
        )
    return "\n".join(found)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with its columns aligned; the first to the left, the others to the right."""
    filled = [[*row, *[""] * (len(head) - len(row))] for row in rows]
    widths = [max(len(row[column]) for row in [head, *filled]) for column in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for row in [head, rule, *filled]:
        cells = [
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
