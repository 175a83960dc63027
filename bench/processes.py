"""Child processes of the benchmark: started, watched through /proc, and ended. Only what was started here is ended."""

import ctypes
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1

T = TypeVar("T")

_prctl = getattr(ctypes.CDLL(None), "prctl", None)  # looked up before any fork


class StartError(Exception):
    """A server did not start; the message holds the last it said."""


class Process:
    """A server in a session of its own, so that Ctrl-C reaches the benchmark alone, which then stops it in order."""

    def __init__(self, command: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> None:
        self.command = list(command)
        try:
            self.popen = subprocess.Popen(
                self.command,
                cwd=cwd,
                env=dict(os.environ if env is None else env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509  one system call, no lock
            )
        except OSError as error:
            raise StartError(f"{self.command[0]}: {error.strerror}") from error
        self.pid = self.popen.pid
        self.said: deque[str] = deque(maxlen=30)
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        with self.popen.stdout as lines:
            for line in lines:
                self.said.append(line.rstrip())
                self._lines.put(line)
        self._lines.put(None)

    def wait_for(self, match: Callable[[str], T | None], seconds: float = 30) -> T:
        """The first thing that `match` makes of a line of the output. Raises StartError."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                break
            if line is None:
                raise StartError(f"{self.name} ended with {self.popen.wait()}: {self.last_words()}")
            if (found := match(line)) is not None:
                return found
        raise StartError(f"{self.name} was not ready after {seconds:g} s: {self.last_words()}")

    @property
    def name(self) -> str:
        return " ".join(Path(word).name for word in self.command[:3])

    def last_words(self) -> str:
        return " / ".join(list(self.said)[-4:]) or "it said nothing"

    def stop(self, seconds: float = 8) -> None:
        """SIGTERM, then SIGKILL for what is left of the tree that it was."""
        family = tree([self.pid])
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        for pid in _left(family, 2):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        _left(family, 2)
        self._reader.join(2)  # all who could write are gone


def die_with_parent() -> None:
    """Even a benchmark that is killed leaves no server behind (Linux; elsewhere nothing happens)."""
    if _prctl is not None:
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third on (the second, the name, may hold anything)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text[text.rindex(")") + 2 :].split()


def _born(pid: int) -> int | None:
    """The start time in ticks: with the pid, what tells a process from a later one of the same number."""
    stat = _stat(pid)
    return int(stat[19]) if stat and stat[0] != "Z" else None


def _left(family: Mapping[int, int], seconds: float) -> list[int]:
    """Wait until all of them have ended; those that have not after `seconds`."""
    deadline = time.monotonic() + seconds
    while (left := [pid for pid, born in family.items() if _born(pid) == born]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def tree(roots: Sequence[int]) -> dict[int, int]:
    """The processes `roots` and all that descend from them: pid to start time in ticks."""
    parents: dict[int, list[int]] = {}
    born: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and (stat := _stat(int(entry.name))) and stat[0] != "Z":
            parents.setdefault(int(stat[1]), []).append(int(entry.name))
            born[int(entry.name)] = int(stat[19])
    found: dict[int, int] = {}
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid in born and pid not in found:
            found[pid] = born[pid]
            waiting += parents.get(pid, [])
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """Time on a CPU that these processes have used so far, in nanoseconds where Linux counts so."""
    return sum(_cpu_seconds(pid) for pid in pids)


def _cpu_seconds(pid: int) -> float:
    try:
        threads = [Path(thread.path, "schedstat").read_text() for thread in os.scandir(f"/proc/{pid}/task")]
        return sum(int(text.split()[0]) for text in threads) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        stat = _stat(pid)  # ticks of 10 ms, and threads that ended while we looked
        return (int(stat[11]) + int(stat[12])) / TICKS if stat else 0.0


def main_thread_seconds(pid: int) -> float:
    """The part of it that the process's first thread has used; 0 when the process is gone."""
    try:
        return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def kernel_seconds(pid: int) -> float:
    """The part of it that was spent in system calls, by the kernel's own accounts."""
    stat = _stat(pid)
    return int(stat[12]) / TICKS if stat else 0.0


def machine_seconds() -> float:
    """CPU time that everything on this machine has used so far, and that its hypervisor has taken away."""
    user, nice, system, _idle, _wait, irq, softirq, steal, *_ = (
        int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq + steal) / TICKS


def pss_kib(pids: Sequence[int]) -> int:
    """Proportional set size of all of them: a page that several share is counted once."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total


def rss_kib(pid: int) -> int:
    """Resident size; 0 when the process is gone. Costs far less to read than the proportional one."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE // 1024
    except (FileNotFoundError, ProcessLookupError):
        return 0


class Growth:
    """Watches resident sizes from a thread; `stop` says how much the process that grew most has grown, in KiB."""

    def __init__(self, pids: Sequence[int], every: float = 0.05) -> None:
        self.before = {pid: rss_kib(pid) for pid in pids}
        self.peak = dict(self.before)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(every,), daemon=True)
        self._thread.start()

    def _watch(self, every: float) -> None:
        while not self._over.wait(every):
            self._look()

    def _look(self) -> None:
        for pid in self.peak:
            self.peak[pid] = max(self.peak[pid], rss_kib(pid))

    def stop(self) -> int:
        self._over.set()
        self._thread.join()
        self._look()
        return max((self.peak[pid] - self.before[pid] for pid in self.peak), default=0)
