"""One visit: a workload, put on one running subject by a load generator in a process of its own."""

import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from statistics import median
from typing import Any

from bench.cold import ColdFailed, cold_starts
from bench.interrupts import shielded
from bench.processes import Growth, cpu_seconds, die_with_parent, machine_seconds, pss_kib
from bench.subjects import Subject
from bench.subjects.base import ROOT
from bench.subjects.dialback import Dialback
from bench.workloads import COLD, CPU, GROWTH, STREAM_MEMORY, Workload

FIRST = 30
"""Seconds for a server's first answer: a worker may have to start."""
WARM = {"load": "hello", "options": {"clients": 8, "seconds": 0.3, "warm": 0.2}}


@dataclass(slots=True)
class Visit:
    """What was measured, or why nothing was."""

    figures: dict[str, float] = field(default_factory=dict)
    error: str = ""


class LoadFailed(Exception):
    """The load generator says what went wrong."""


def warm(subject: Subject, workload: Workload | None = None) -> None:
    """Bring workers up and code paths into use, before anything counts. Raises LoadFailed."""
    try:
        with urllib.request.urlopen(f"{subject.url}/hello", timeout=FIRST) as answer:
            answer.read()
    except (OSError, HTTPException) as failed:
        raise LoadFailed(f"the first request: {failed}") from failed
    with _generator(WARM, subject.url, 30) as generator:
        generator.result()
    if workload and workload.warm:
        with _generator(workload.warm, subject.url, 60) as generator:
            generator.result()


def visit(subject: Subject, workload: Workload, quick: bool) -> Visit:
    """Never raises for what the server does: the report must say it."""
    options = workload.quick if quick else workload.options
    if workload.load == COLD:
        return _cold_visit(subject, options)
    pids = subject.pids()
    cpu, machine, wall = cpu_seconds(pids), machine_seconds(), time.monotonic()
    growth = Growth(pids) if any(figure.key == GROWTH for figure in workload.figures) else None
    before = pss_kib(pids) if workload.load == "sse" else 0
    order = {"load": workload.load, "options": options}
    try:
        with _generator(order, subject.url, workload.timeout) as generator:
            sizes: list[int] = []
            if workload.load == "sse":
                generator.wait_until_opened()
                sizes = _sizes(subject, times=2 if quick else 3)
            figures = generator.result()
    except LoadFailed as failed:
        return Visit(error=str(failed))
    finally:
        grown = growth.stop() if growth else 0
    # A process that came or went during the visit would make nonsense of the difference.
    after = subject.pids()
    if sorted(after) != sorted(pids):
        return Visit(error=f"the server's processes changed during the visit: {sorted(pids)}, then {sorted(after)}")
    cpu = cpu_seconds(pids) - cpu
    figures[CPU] = cpu * 1e6 / figures["operations"]
    ours = cpu + figures["busy"] * figures["seconds"]
    figures["others"] = max(0.0, machine_seconds() - machine - ours) / (time.monotonic() - wall)
    if growth:
        figures[GROWTH] = grown / 1024
    if sizes:
        figures[STREAM_MEMORY] = (median(sizes) - before) / options["streams"]
    return Visit(figures=figures)


def _cold_visit(subject: Subject, options: Mapping[str, Any]) -> Visit:
    if not isinstance(subject, Dialback):
        return Visit(error="only Dialback goes down to zero workers")
    try:
        return Visit(figures=cold_starts(subject, **options))
    except (ColdFailed, OSError, HTTPException) as failed:
        return Visit(error=str(failed) or repr(failed))


def load(url: str, name: str, options: Mapping[str, Any], timeout: float = 60) -> dict[str, float]:
    """One run of the load generator, and nothing measured around it. Raises LoadFailed."""
    with _generator({"load": name, "options": options}, url, timeout) as generator:
        return generator.result()


def _sizes(subject: Subject, times: int, every: float = 0.7) -> list[int]:
    """PSS of the whole tree while all streams are open, in KiB, a few times."""
    sizes = []
    for _ in range(times):
        time.sleep(every)
        sizes.append(pss_kib(subject.pids()))
    return sizes


class _generator:  # noqa: N801 - reads as a function in `with`
    """A running load generator; leaving the block ends it whatever happened."""

    def __init__(self, order: Mapping[str, Any], url: str, timeout: float) -> None:
        self.timeout = timeout
        text = json.dumps({**order, "url": url, "timeout": timeout})
        self.command = [sys.executable, "-m", "bench.load", text]

    def __enter__(self) -> "_generator":
        try:
            with shielded():
                self.popen = subprocess.Popen(
                    self.command,
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    preexec_fn=die_with_parent,  # noqa: PLW1509  one system call, no lock
                )
                self.watchdog = threading.Timer(self.timeout + 10, self.popen.kill)  # its own time-out did not help
                self.watchdog.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with shielded():
            self.watchdog.cancel()
            self.popen.kill()
            self.popen.communicate()

    def wait_until_opened(self) -> None:
        event = self._event()
        if event["event"] != "opened":
            raise LoadFailed(event.get("error", f"unexpected {event}"))

    def result(self) -> dict[str, float]:
        event = self._event()
        if event.pop("event") != "result":
            raise LoadFailed(event.get("error", f"unexpected {event}"))
        return event

    def _event(self) -> dict[str, Any]:
        assert self.popen.stdout is not None
        assert self.popen.stderr is not None
        line = self.popen.stdout.readline()
        if not line:
            raise LoadFailed(f"the load generator died: {self.popen.stderr.read()[-800:]}")
        event: dict[str, Any] = json.loads(line)
        return event
