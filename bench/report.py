"""The tables, in Markdown that also reads well in a terminal."""

from collections.abc import Sequence

from bench.results import Results, Spread
from bench.subjects import YARDSTICK
from bench.subjects.nginx_uvicorn import NginxTuned
from bench.targets import Verdict
from bench.workloads import WORKLOADS, Figure, Workload

BUSY = 0.85
"""A load generator that used more of a core than this may have been the limit itself."""

OTHERS = 0.25
"""Cores that anything else on the machine may use before a figure is called doubtful."""


def report(results: Results, verdicts: Sequence[Verdict]) -> str:
    parts = [_missing(results), *(_workload(results, WORKLOADS[name]) for name in results.visits)]
    parts += [_targets(verdicts), _notes(results)]
    return "\n\n".join(part for part in parts if part)


def _missing(results: Results) -> str:
    return "\n".join(f"**MISSING: {results.subjects[name]}**: {why}" for name, why in results.missing.items())


def _workload(results: Results, workload: Workload) -> str:
    tuned = workload.tuned and results.values(workload.name, NginxTuned.name, workload.figures[0].key)
    head = ["server"]
    for figure in workload.all_figures:
        head.append(figure.title)
        if figure.better:
            head.append("× nginx")
            head += ["× nginx tuned"] if tuned else []
    rows = []
    for name, title in results.subjects.items():
        if name == NginxTuned.name and not workload.tuned:
            continue
        rows.append([title, *_cells(results, workload, name, bool(tuned))])
    rounds = max((len(by_round) for by_round in results.visits[workload.name].values()), default=0)
    title = f"### {workload.name}: {workload.title}, {rounds} round{'s' if rounds != 1 else ''}"
    return f"{title}\n\n{table(head, rows)}"


def _cells(results: Results, workload: Workload, name: str, tuned: bool) -> list[str]:
    errors = results.errors(workload.name, name)
    if not results.visits[workload.name].get(name):
        return ["MISSING"]
    cells = []
    for figure in workload.all_figures:
        cells.append(_value(results.spread(workload.name, name, figure.key), figure))
        if figure.better:
            peers = [YARDSTICK, NginxTuned.name] if tuned else [YARDSTICK]
            cells += [_ratio(results.ratio(workload.name, name, figure, peer), name == peer) for peer in peers]
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


def _ratio(spread: Spread | None, same: bool) -> str:
    if same:
        return "1"
    return _value(spread, Figure("", "", digits=2))


def _targets(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return ""
    rows = []
    for verdict in verdicts:
        target = verdict.target
        limit = f"≥ {target.least:g}" if target.least is not None else f"≤ {target.most:g}"
        value = "" if verdict.value is None else f"{verdict.value:,.{target.digits}f}"
        rows.append([target.text, limit, value, verdict.word])
    head = ["target (Dialback, separate processes)", "must be", "is", "verdict"]
    return f"### Targets\n\n{table(head, rows)}"


def _notes(results: Results) -> str:
    """What a reader must know before he believes a figure."""
    notes = []
    disturbed = []
    for name in results.visits:
        others = [share for subject in results.subjects for share in results.values(name, subject, "others")]
        if max(others, default=0) > OTHERS:
            disturbed.append(f"{name} {max(others):.1f}")
        for subject, title in results.subjects.items():
            notes += [f"- FAILED: {name}, {title}: {error}" for error in results.errors(name, subject)]
            busy = max(results.values(name, subject, "busy"), default=0)
            if busy > BUSY:
                notes.append(f"- {name}, {title}: the load generator was {busy:.0%} busy and may have been the limit")
    if disturbed:
        notes.append(
            "- **The machine was not ours alone**: the most cores that other processes used during a visit of "
            + ", ".join(disturbed)
        )
    return "\n".join(notes)


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
