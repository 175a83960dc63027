"""What a run has measured, round by round, and the medians and ratios that are made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.visit import Visit
from bench.workloads import WORKLOADS, Figure, Workload


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of the rounds, and the least and the most among them."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        return cls(median(values), min(values), max(values)) if values else None


@dataclass(slots=True)
class Results:
    """Visits by workload, subject and round. A subject in `missing` could not be measured; the text says why."""

    quick: bool
    subjects: dict[str, str]
    missing: dict[str, str] = field(default_factory=dict)
    cannot: dict[str, dict[str, str]] = field(default_factory=dict)
    """by workload and subject: why it is not visited there"""
    visits: dict[str, dict[str, dict[int, Visit]]] = field(default_factory=dict)

    def add(self, workload: Workload, subject: str, number: int, seen: Visit) -> None:
        self.visits.setdefault(workload.name, {}).setdefault(subject, {})[number] = seen

    def _rounds(self, workload: str, subject: str) -> dict[int, Visit]:
        return self.visits.get(workload, {}).get(subject, {})

    def values(self, workload: str, subject: str, key: str) -> list[float]:
        return [seen.figures[key] for seen in self._rounds(workload, subject).values() if key in seen.figures]

    def spread(self, workload: str, subject: str, key: str) -> Spread | None:
        return Spread.of(self.values(workload, subject, key))

    def errors(self, workload: str, subject: str) -> list[str]:
        return [seen.error for seen in self._rounds(workload, subject).values() if seen.error]

    def ratio(self, workload: str, subject: str, figure: Figure, peer: str) -> Spread | None:
        """How many times better than `peer` (above 1 is better), each ratio taken inside one round."""
        ours, theirs = self._rounds(workload, subject), self._rounds(workload, peer)
        ratios = []
        for number in sorted(ours.keys() & theirs.keys()):
            our, their = ours[number].figures.get(figure.key), theirs[number].figures.get(figure.key)
            if our and their and figure.better:
                ratios.append(our / their if figure.better == "more" else their / our)
        return Spread.of(ratios)

    def as_json(self) -> dict[str, Any]:
        return {
            "quick": self.quick,
            "subjects": self.subjects,
            "missing": self.missing,
            "cannot": self.cannot,
            "workloads": {
                workload: {
                    "title": WORKLOADS[workload].title,
                    "options": dict(WORKLOADS[workload].quick if self.quick else WORKLOADS[workload].options),
                    "subjects": {
                        subject: {
                            "rounds": [
                                {"error": seen.error} if seen.error else seen.figures
                                for _, seen in sorted(rounds.items())
                            ],
                            "ratios": self._ratios(WORKLOADS[workload], subject),
                        }
                        for subject, rounds in subjects.items()
                    },
                }
                for workload, subjects in self.visits.items()
            },
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Results":
        """What `as_json` was made of."""
        results = cls(value["quick"], dict(value["subjects"]), dict(value["missing"]), dict(value["cannot"]))
        for workload, about in value["workloads"].items():
            for subject, seen in about["subjects"].items():
                results.visits.setdefault(workload, {}).setdefault(subject, {})
                for number, figures in enumerate(seen["rounds"]):
                    one = Visit(error=figures["error"]) if "error" in figures else Visit(figures)
                    results.add(WORKLOADS[workload], subject, number, one)
        return results

    def _ratios(self, workload: Workload, subject: str) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for figure in workload.all_figures:
            for peer in workload.yardsticks:
                if peer != subject and (spread := self.ratio(workload.name, subject, figure, peer)):
                    values = {"median": spread.median, "least": spread.least, "most": spread.most}
                    found.setdefault(figure.key, {})[peer] = values
        return found
