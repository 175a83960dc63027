"""The order of a run: all servers up, then workload by workload, round by round, every server once a round."""

import resource
import sys
from collections.abc import Mapping, Sequence

from bench.interrupts import shielded
from bench.results import Results
from bench.subjects import DEFAULT, SUBJECTS, Missing, Subject
from bench.visit import LoadFailed, Visit, visit, warm
from bench.workloads import Workload


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def plan(workloads: Sequence[Workload], asked: Sequence[str], quick: bool) -> dict[str, list[str]]:
    """Who is visited in each workload."""
    return {workload.name: workload.visited(asked, quick, DEFAULT) for workload in workloads}


class Session:
    """Holds the running subjects; use it in a `with` block, which ends them whatever happens."""

    def __init__(self, visits: Mapping[str, Sequence[str]], quick: bool, rounds: int | None) -> None:
        self.visits = visits
        self.quick = quick
        self.rounds = rounds
        self.running: dict[str, Subject] = {}
        named = {name for names in visits.values() for name in names}
        self.results = Results(quick, {name: SUBJECTS[name].title for name in SUBJECTS if name in named})

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_all()

    def measure(self, workload: Workload) -> None:
        rounds = self.rounds or (self.quick and workload.quick_rounds) or workload.rounds
        names = self._able(workload)
        for name in names:
            self.results.visits.setdefault(workload.name, {}).setdefault(name, {})
        if not workload.fresh:
            for name in names:
                if name not in self.running and name not in self.results.missing:
                    self._start(name)
        for number in range(rounds):
            # Another goes first each round, so that none is always the one that finds the machine cool.
            start = number % max(len(names), 1)
            for name in names[start:] + names[:start]:
                if name in self.results.missing:
                    continue
                seen = self._visit(name, workload)
                if name in self.results.missing and not self._visited(name):
                    continue  # it never was there
                self.results.add(workload, name, number, seen)
                say(f"  {workload.name} {number + 1}/{rounds} {name}: {_summary(workload, seen)}")
                if seen.error and name not in self.results.missing:
                    self._restart(name)  # who knows what state it is in

    def _visited(self, name: str) -> bool:
        return any(self.results.visits[workload].get(name) for workload in self.results.visits)

    def _able(self, workload: Workload) -> list[str]:
        """Those that can do it; why the others cannot is kept for the report."""
        names = []
        for name in self.visits[workload.name]:
            if reason := _cannot(SUBJECTS[name], workload):
                self.results.cannot.setdefault(workload.name, {})[name] = reason
                say(f"  {workload.name} {name}: not visited, it {reason}")
            else:
                names.append(name)
        return names

    def _visit(self, name: str, workload: Workload) -> Visit:
        if workload.fresh and not self._restart(name, workload):
            return Visit(error=f"it did not start again: {self.results.missing[name]}")
        return visit(self.running[name], workload, self.quick)

    def _start(self, name: str, workload: Workload | None = None) -> bool:
        subject = SUBJECTS[name]()
        subject.variant = workload.variant if workload else subject.variant
        self.running[name] = subject
        try:
            url = subject.start()
            warm(subject, workload)
            subject.settle()
        except (Missing, LoadFailed) as missing:
            self._stop(name)
            self.results.missing[name] = str(missing)
            say(f"\n*** MISSING: {name} ({subject.title}) is not measured: {missing}\n")
            return False
        if workload is None:
            say(f"  {name} at {url}")
        return True

    def _restart(self, name: str, workload: Workload | None = None) -> bool:
        self._stop(name)
        return self._start(name, workload or None)

    def _stop(self, name: str) -> None:
        with shielded():
            if name in self.running:
                self.running.pop(name).stop()

    def _stop_all(self) -> None:
        with shielded():
            for name in list(self.running):
                self._stop(name)


def _cannot(subject: type[Subject], workload: Workload) -> str:
    if workload.name in subject.cannot:
        return subject.cannot[workload.name]
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = workload.files * subject.files_per_client
    return f"needs {needed:,} open files, and the limit is {limit:,}" if needed > limit else ""


def _summary(workload: Workload, seen: Visit) -> str:
    if seen.error:
        return f"FAILED: {seen.error}"
    figure = workload.figures[0]
    return f"{seen.figures[figure.key]:,.{figure.digits}f} {figure.title}"
