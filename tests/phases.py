"""One pytest process after another, a second try for what failed, and a summary that tells everything in twenty lines.

A test that fails is run once more after its phase, in a pytest of its own. One that passes then was unsteady: the run
goes on, and the summary shouts its name, for somebody has to mend it. A real fault fails twice. When more than
`SECOND_TRIES` tests have failed something is broken, and nothing is tried again.
"""

import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml
from dataclasses import dataclass, field
from pathlib import Path

SECOND_TRIES = 5
"""Failing tests of a whole run, beyond which there are no second tries."""

SHOWN = 8
"""Failures that the summary names; the lines of the phases name all."""

WIDTH = 140
"""Characters of the beginning and of the end of a long message in the summary."""

GRACE = 60.0
"""Seconds that an interrupted pytest has to end."""

FAILING, USUAL = 1, (0, 1)
"""Exit codes of pytest: tests failed; its work was done."""


@dataclass(frozen=True)
class Failure:
    """A test that failed, or a file that could not be collected."""

    test: str
    """As pytest takes it as an argument."""
    message: str
    may_be_tried_again: bool = True


@dataclass
class Outcome:
    """What came of a phase, or of the whole run."""

    name: str
    passed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    failed: list[Failure] = field(default_factory=list)
    unsteady: list[Failure] = field(default_factory=list)

    def __str__(self) -> str:
        counts = [f"{self.passed} passed"]
        counts += [f"{len(self.failed)} failed"] if self.failed else []
        counts += [f"{len(self.unsteady)} UNSTEADY"] if self.unsteady else []
        counts += [f"{self.skipped} skipped"] if self.skipped else []
        return f"{', '.join(counts)} in {int(self.seconds // 60)} min {int(self.seconds % 60)} s"


@dataclass(frozen=True)
class Report:
    """What pytest wrote about its tests."""

    passed: int = 0
    skipped: int = 0
    failed: tuple[Failure, ...] = ()

    @classmethod
    def read(cls, path: Path) -> "Report":
        """From a JUnit report of the family that names each test's file. A test that failed twice is there twice."""
        cases = list(xml.parse(path).getroot().iter("testcase"))
        failed = {failure.test: failure for case in cases if (failure := _failure(case))}
        skipped = sum(case.find("skipped") is not None for case in cases)
        faulty = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
        return cls(len(cases) - skipped - faulty, skipped, tuple(failed.values()))


class Run:
    """The phases of one run, in `folder`."""

    def __init__(self, folder: Path, patience: float = 30 * 60.0) -> None:
        self.folder = folder
        self.patience = patience
        """Seconds that a phase may take, for a pytest that hangs must not keep the summary back."""
        self.outcomes: list[Outcome] = []

    def phase(self, name: str, arguments: list[str], measured: bool = False) -> Outcome:
        """Runs pytest, then once more each test that failed. With `measured`, coverage is taken of both."""
        pytest = [sys.executable, "-m", *(("coverage", "run", "-m") if measured else ()), "pytest", "-q"]
        began = time.monotonic()
        code, report = self._run([*pytest, *arguments])
        outcome = Outcome(name, report.passed, report.skipped, failed=list(report.failed))
        self.outcomes.append(outcome)
        if code not in USUAL or (code == FAILING and not report.failed):
            outcome.failed.append(Failure("pytest itself", f"its exit code was {code}", may_be_tried_again=False))
        if sum(len(each.failed) + len(each.unsteady) for each in self.outcomes) <= SECOND_TRIES:
            for failure in (each for each in report.failed if each.may_be_tried_again):
                say("", f"A second try, alone: {failure.test}")
                if self._run([*pytest, failure.test])[0] == 0:
                    outcome.failed.remove(failure)
                    outcome.unsteady.append(failure)
        outcome.seconds = time.monotonic() - began
        return outcome

    def _run(self, command: list[str]) -> tuple[int, Report]:
        """The exit code, and the report, which is empty when pytest did not come so far."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "report.xml"
            wanted = [f"--junitxml={path}", "--override-ini=junit_family=xunit1"]
            with subprocess.Popen([*command, *wanted], cwd=self.folder) as process:
                code = self._ended(process)
            return code, Report.read(path) if path.exists() else Report()

    def _ended(self, process: subprocess.Popen[bytes]) -> int:
        try:
            return process.wait(self.patience)
        except subprocess.TimeoutExpired:
            say("", f"pytest is not done after {self.patience:g} seconds: it is interrupted")
            process.send_signal(signal.SIGINT)
        try:
            return process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def summary(self, beside: list[str]) -> int:
        """Prints what has to be known about the run; returns its exit code. `beside` are faults that no test shows."""
        failed = [(each.name, failure) for each in self.outcomes for failure in each.failed]
        unsteady = [(each.name, failure) for each in self.outcomes for failure in each.unsteady]
        say("", "=" * 40 + " the whole run " + "=" * 40)
        say(*(f"FAILED    {phase}: {failure.test} - {failure.message}" for phase, failure in failed[:SHOWN]))
        if len(failed) > SHOWN:
            say(f"FAILED    and {len(failed) - SHOWN} more: see the phases")
        if unsteady:
            say("!" * 15 + " UNSTEADY: failed, and passed when run again alone. It has to be mended. " + "!" * 15)
            say(*(f"UNSTEADY  {phase}: {failure.test} - {failure.message}" for phase, failure in unsteady))
        say(*(f"FAILED    {fault}" for fault in beside))
        whole = Outcome("whole", failed=[each for _, each in failed], unsteady=[each for _, each in unsteady])
        for each in self.outcomes:
            say(f"{each.name + ':':9} {each}")
            whole.passed += each.passed
            whole.skipped += each.skipped
            whole.seconds += each.seconds
        wrong = bool(failed or beside)
        say(f"{'FAILED' if wrong else 'PASSED, BUT UNSTEADY' if unsteady else 'PASSED'}: {whole}")
        return 1 if wrong else 0


def say(*lines: str) -> None:
    """Prints, before the next process does."""
    if lines:
        print(*lines, sep="\n", flush=True)


def _failure(case: xml.Element) -> Failure | None:
    found = case.find("failure")
    found = case.find("error") if found is None else found
    if found is None:
        return None
    message = _short(found)
    file, module, name = case.get("file", ""), case.get("classname", ""), case.get("name", "")
    if not module:
        return Failure(file, message, may_be_tried_again=False)
    classes = module.removeprefix(file.removesuffix(".py").replace("/", ".")).strip(".")
    return Failure("::".join([file, *(classes.split(".") if classes else ()), name]), message)


def _short(found: xml.Element) -> str:
    """The error on one line: how it begins, and how it ends, where the output of a process says its result."""
    words = " ".join(found.get("message", "").split())
    if len(words) <= WIDTH:
        return words
    said = [line[1:].strip() for line in (found.text or "").splitlines() if line.startswith("E ")]
    return f"{words[:WIDTH]} ... {said[-1][-WIDTH:] if said else ''}"
