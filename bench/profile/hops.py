"""What a request costs each process: CPU time from the kernel's accounts, and where it goes from samples."""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.processes import cpu_seconds, kernel_seconds, main_thread_seconds
from bench.subjects import SUBJECTS, Subject
from bench.subjects.base import BENCH
from bench.subjects.dialback import Dialback
from bench.visit import load, warm

SAMPLER = BENCH / "profile" / "sampler.py"
SAMPLES = "samples"

# The function's module when it is sampled: the sampler first, then the same function.
SAMPLED_APP = """\
import sampler
from function import app

sampler.install({samples!r})
"""


@dataclass(slots=True)
class Hop:
    """One kind of process; microseconds of CPU a request. `functions` and `below` are samples, `seconds` theirs."""

    name: str
    cpu_us: float
    kernel_us: float
    other_threads_us: float
    functions: dict[str, int] = field(default_factory=dict)
    below: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Profile:
    """A subject's processes in the order in which a request meets them, and what it answered meanwhile."""

    name: str
    title: str
    rate: float
    sampled_rate: float
    hops: list[Hop]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Profile":
        return cls(**{**value, "hops": [Hop(**hop) for hop in value["hops"]]})


def profile(name: str, clients: int, seconds: float, rounds: int) -> Profile:
    """Measure a subject untouched, then once more under the sampler. Raises Missing, LoadFailed."""
    options = {"clients": clients, "seconds": seconds, "warm": 0.0}
    result = _measured(SUBJECTS[name](), options, rounds)
    kind = SUBJECTS[name]
    if issubclass(kind, Dialback):
        _sample(_sampled(kind)(), options, result)
    return result


def _measured(subject: Subject, options: dict[str, Any], rounds: int) -> Profile:
    subject.start()
    try:
        warm(subject)
        subject.settle()
        parts = subject.parts()
        seen: dict[str, list[tuple[float, float, float]]] = {name: [] for name in parts}
        rates = []
        for _ in range(rounds):
            before = {name: _used(pids) for name, pids in parts.items()}
            figures = load(subject.url, "hello", options)
            for name, pids in parts.items():
                used = [now - then for now, then in zip(_used(pids), before[name], strict=True)]
                cpu, kernel, others = (part * 1e6 / figures["operations"] for part in used)
                seen[name].append((cpu, kernel, others))
            rates.append(figures["rate"])
    finally:
        subject.stop()
    hops = [Hop(name, *(median(column) for column in zip(*rows, strict=True))) for name, rows in seen.items()]
    return Profile(subject.name, subject.title, median(rates), 0.0, hops)


def _used(pids: Sequence[int]) -> tuple[float, float, float]:
    """CPU seconds so far: all, in the kernel, of other threads than the first."""
    cpu = cpu_seconds(pids)
    return cpu, sum(map(kernel_seconds, pids)), cpu - sum(map(main_thread_seconds, pids))


def _sample(subject: Subject, options: dict[str, Any], result: Profile) -> None:
    subject.start()
    try:
        warm(subject)
        subject.settle()
        parts = subject.parts()
        folder = subject.folder / SAMPLES
        pids = [pid for name in parts for pid in parts[name] if _listens(pid)]
        for pid in pids:
            os.kill(pid, signal.SIGUSR1)
        result.sampled_rate = load(subject.url, "hello", {**options, "seconds": options["seconds"] * 2})["rate"]
        for pid in pids:
            os.kill(pid, signal.SIGUSR2)
        for hop in result.hops:
            for pid in set(parts[hop.name]) & set(pids):
                samples = _read(folder / f"{pid}.json")
                for into, counts in ((hop.functions, samples["alone"]), (hop.below, samples["below"])):
                    for function, count in counts.items():
                        into[function] = into.get(function, 0) + count
    finally:
        subject.stop()


def _listens(pid: int) -> bool:
    """Whether it handles the sampler's signals, which would end it if not: what workers fork from has no sampler."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (signal.SIGUSR1 - 1) & 1)
    return False


def _read(path: Path, seconds: float = 5) -> dict[str, dict[str, int]]:
    """The samples that a process wrote."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{path.name}: that process wrote no samples within {seconds:g} s")
        time.sleep(0.02)
    samples: dict[str, dict[str, int]] = json.loads(path.read_text())
    return samples


def _sampled(kind: type[Dialback]) -> type[Dialback]:
    """The same subject with the sampler in every process of it."""

    class Sampled(kind):  # type: ignore[misc, valid-type]
        def program(self) -> list[str]:
            folder = self.folder / SAMPLES
            folder.mkdir(exist_ok=True)
            return [sys.executable, str(SAMPLER), str(folder), "-m", "dialback"]

        def function(self) -> Path:
            folder: Path = super().function()
            (folder / "app.py").rename(folder / "function.py")
            shutil.copy(SAMPLER, folder)
            (folder / "app.py").write_text(SAMPLED_APP.format(samples=str(self.folder / SAMPLES)))
            return folder

    return Sampled
