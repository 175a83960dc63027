"""What the benchmark knows of a server under test."""

import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from bench.interrupts import shielded
from bench.processes import Process, StartError, tree

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "bench"


class Missing(Exception):
    """This subject cannot run here; the message says why, and the report repeats it."""


class Subject(ABC):
    """One server (or chain of servers) that answers bench/app.py's paths below `url`."""

    name: str
    title: str
    cannot: ClassVar[Mapping[str, str]] = {}
    """Workloads that it cannot do, and why; the report repeats it."""

    quiet = 0.0
    """seconds after which it has surely started all of its processes"""
    files_per_client = 1
    """open files of its busiest process for each client"""

    def __init__(self) -> None:
        self.url = ""
        self.variant = "app"
        """which function it serves, where it can serve another than bench/app.py"""
        self.processes: list[Process] = []
        self.folder = Path()

    @abstractmethod
    def launch(self) -> str:
        """Start everything below self.folder through self.run, and return the base URL. Raises Missing, StartError."""

    def start(self) -> str:
        """The base URL, without a slash at its end. Raises Missing; nothing is left running then."""
        self.folder = Path(tempfile.mkdtemp(prefix="dialback-bench-"))
        try:
            self.url = self.launch()
        except StartError as error:
            self.stop()
            raise Missing(str(error)) from error
        except BaseException:
            self.stop()
            raise
        return self.url

    def run(self, command: list[str], env: dict[str, str] | None = None) -> Process:
        with shielded():
            process = Process(command, cwd=self.folder, env=env)
            self.processes.append(process)
        return process

    def pids(self) -> list[int]:
        """All its processes at this moment."""
        return list(tree([process.pid for process in self.processes]))

    def settle(self, seconds: float = 10) -> None:
        """Wait until it starts no process any more: for `quiet` seconds none came or went, at most `seconds` in all."""
        deadline = time.monotonic() + seconds
        pids: list[int] = []
        while (now := sorted(self.pids())) != pids and time.monotonic() < deadline:
            pids = now
            time.sleep(self.quiet)

    def parts(self) -> dict[str, list[int]]:
        """The same by what they are for, for the profile: one entry a kind of process, in a request's order."""
        return {self.name: self.pids()}

    def stop(self) -> None:
        """End what was started, the last first, and remove its files. Harmless when repeated."""
        with shielded():
            while self.processes:
                self.processes.pop().stop()
            if self.folder != Path():
                shutil.rmtree(self.folder, ignore_errors=True)
                self.folder = Path()
