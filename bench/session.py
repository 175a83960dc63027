"""The order of a run: all servers up, then workload by workload, round by round, every server once a round."""

import sys
from collections.abc import Sequence

from bench.interrupts import shielded
from bench.results import Results
from bench.subjects import SUBJECTS, Missing, Subject
from bench.subjects.nginx_uvicorn import NginxTuned
from bench.visit import LoadFailed, Visit, visit, warm
from bench.workloads import Workload


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Session:
    """Holds the running subjects; use it in a `with` block, which ends them whatever happens."""

    def __init__(self, names: Sequence[str], quick: bool, rounds: int | None) -> None:
        self.names = list(names)
        self.quick = quick
        self.rounds = rounds
        self.running: dict[str, Subject] = {}
        self.results = Results(quick=quick, subjects={name: SUBJECTS[name].title for name in names})

    def __enter__(self) -> "Session":
        try:
            for name in self.names:
                self._start(name)
        except BaseException:
            self._stop_all()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_all()

    def measure(self, workload: Workload) -> None:
        rounds = self.rounds or (workload.quick_rounds if self.quick else workload.rounds)
        names = [name for name in self.names if name != NginxTuned.name or workload.tuned]
        for number in range(rounds):
            # Another goes first each round, so that none is always the one that finds the machine cool.
            start = number % len(names)
            for name in names[start:] + names[:start]:
                if name in self.results.missing:
                    continue
                seen = self._visit(name, workload)
                self.results.add(workload, name, number, seen)
                say(f"  {workload.name} {number + 1}/{rounds} {name}: {_summary(workload, seen)}")
                if seen.error:
                    self._restart(name)  # who knows what state it is in

    def _visit(self, name: str, workload: Workload) -> Visit:
        if workload.fresh and not self._restart(name, workload):
            return Visit(error=f"it did not start again: {self.results.missing[name]}")
        return visit(self.running[name], workload, self.quick)

    def _start(self, name: str, workload: Workload | None = None) -> bool:
        subject = SUBJECTS[name]()
        self.running[name] = subject
        try:
            url = subject.start()
            warm(subject, workload)
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


def _summary(workload: Workload, seen: Visit) -> str:
    if seen.error:
        return f"FAILED: {seen.error}"
    figure = workload.figures[0]
    return f"{seen.figures[figure.key]:,.{figure.digits}f} {figure.title}"
