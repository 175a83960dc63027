"""A whole platform as its users start it: `dialback serve invoker`, `dialback serve edge`, `dialback deploy`."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

COMMAND = str(Path(sys.executable).with_name("dialback"))
FUNCTIONS = Path(__file__).with_name("functions")
READY_SECONDS = 30.0
T = TypeVar("T")


class Service:
    """One `dialback` process that stays."""

    def __init__(self, name: str, arguments: list[str], environ: dict[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._errors = log.open("ab")
        self.process = subprocess.Popen(
            [COMMAND, *arguments, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environ,
            start_new_session=True,
        )
        self.ready = self._read_ready()

    @property
    def pid(self) -> int:
        return self.process.pid

    def _read_ready(self) -> dict[str, object]:
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], READY_SECONDS)
        line = self.process.stdout.readline() if readable else b""
        if not line:
            self.kill()
            raise AssertionError(f"{self.name} did not get ready: {self.log.read_text()[-2000:]}")
        ready = json.loads(line)
        assert isinstance(ready, dict)
        return ready

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 30.0) -> int:
        try:
            return self.process.wait(seconds)
        finally:
            if self.process.poll() is not None:
                self._close()

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM, and its exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._close()

    def _close(self) -> None:
        self._errors.close()
        if self.process.stdout is not None:
            self.process.stdout.close()


class Platform:
    """An invoker and an edge as separate processes, on free ports, in folders of their own."""

    def __init__(
        self,
        *,
        mode: str = "callback",
        launcher: str = "process",
        invoker: tuple[str, ...] = (),
        edge: tuple[str, ...] = (),
    ) -> None:
        self.mode = mode
        """The mode of the functions that tests deploy, when they do not say."""
        # Short, because the paths of Unix sockets are.
        self.root = Path(tempfile.mkdtemp(prefix="db-", dir="/tmp"))
        self.data = self.root / "data"
        self.evidence = self.root / "evidence"
        self.evidence.mkdir()
        (self.root / "run").mkdir(mode=0o700)
        self.launcher = launcher
        self._progress: dict[str, list[Path]] = {}
        self._invoker_flags = (*invoker, "--launcher", launcher)
        self._edge_flags = edge
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "XDG_RUNTIME_DIR": str(self.root / "run"),
            "DIALBACK_DATA_DIR": str(self.data),
            "LANG": "C.UTF-8",
            # Functions with dependencies: one cache for all tests, and the package index that this machine names.
            "UV_CACHE_DIR": str(Path.home() / ".cache/uv"),
            **{name: value for name, value in os.environ.items() if name.startswith("UV_")},
            **{
                name: os.environ[name]
                for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "DOCKER_HOST")
                if name in os.environ
            },
        }
        self.invoker: Service
        self.edge: Service

    # --- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> "Platform":
        self.start_invoker()
        self.start_edge()
        return self

    def start_invoker(self) -> None:
        flags = ["serve", "invoker", "--control-port", "0", *self._invoker_flags]
        self.invoker = Service("invoker", flags, self.environ, self.root / "invoker.log")

    def start_edge(self, port: int = 0) -> None:
        flags = ["serve", "edge", "--port", str(port), *self._edge_flags]
        self.edge = Service("edge", flags, self.environ, self.root / "edge.log")

    def stop(self) -> tuple[int, int]:
        """Exit codes of edge and invoker."""
        return self.edge.stop(), self.invoker.stop()

    def destroy(self) -> None:
        if self.launcher == "docker" and hasattr(self, "invoker") and self.invoker.process.poll() is None:
            # What is killed leaves its containers to a next start that does not come. The second signal: at once.
            for _ in range(2):
                self.invoker.signal(signal.SIGTERM)
                select.poll().poll(100)
            with suppress(subprocess.TimeoutExpired):
                self.invoker.wait()
        for name in ("edge", "invoker"):
            service = getattr(self, name, None)
            if service is not None:
                service.kill()
        shutil.rmtree(self.root, ignore_errors=True)

    # --- use ----------------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return str(self.edge.ready["public_url"])

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    @property
    def control_url(self) -> str:
        return str(self.invoker.ready["control_url"])

    @property
    def token(self) -> str:
        return (self.data / "control.token").read_text().strip()

    def control(self, path: str) -> dict[str, object]:
        answer = httpx.get(self.control_url + path, headers={"authorization": f"Bearer {self.token}"}, timeout=60)
        answer.raise_for_status()
        body = answer.json()
        assert isinstance(body, dict)
        return body

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [COMMAND, *arguments], env=self.environ, capture_output=True, text=True, timeout=120, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"dialback {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def deploy(self, source: Path, name: str, **config: object) -> None:
        """Deploy a copy of `source`, with a dialback.toml made of `config`; EVIDENCE is set for it. A worker in a
        container writes to its own /tmp, and prints what must outlive it.
        """
        contained = self.launcher == "docker"
        evidence = {"EVIDENCE": "/tmp", "EVIDENCE_IS_PRINTED": "1"} if contained else {"EVIDENCE": str(self.evidence)}
        folder = Path(tempfile.mkdtemp(dir=self.root)) / name
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "dialback.toml").write_text(_toml({"mode": self.mode, **config}, evidence))
        self.command("deploy", str(folder), "--name", name)

    def deploy_probe(self, name: str = "probe", **config: object) -> None:
        self.deploy(FUNCTIONS / "probe", name, **{"concurrency": 10, "max_workers": 1, **config})
        if self.mode == "tunnel":
            # The first invocation comes by the runtime API and makes the worker dial; those of the tests shall not.
            self.get(f"/@{name}/hello")

    def get(self, path: str, **options: object) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60, **options)  # type: ignore[arg-type]

    # --- what happened ------------------------------------------------------------------------------------------------

    def notes(self, tag: str) -> list[str]:
        """The evidence that a function left under a tag."""
        if self.launcher == "docker":
            return self._printed_notes(tag)
        path = self.evidence / tag
        return path.read_text().splitlines() if path.exists() else []

    def _printed_notes(self, tag: str) -> list[str]:
        functions = self.control("/v1/functions")["functions"]
        assert isinstance(functions, list)
        notes = []
        for function in functions:
            answer = httpx.get(
                f"{self.control_url}/v1/functions/{function['name']}/logs?limit=1000",
                headers={"authorization": f"Bearer {self.token}"},
                timeout=10,
            )
            notes += [str(json.loads(line)["line"]) for line in answer.text.splitlines()]
        start = f"note {tag} "
        written = [path for path in self._inside(tag) if path.exists()]
        return [
            *(note.removeprefix(start) for note in notes if note.startswith(start)),
            *(line for path in written for line in path.read_text().splitlines()),
        ]

    def _inside(self, name: str) -> list[Path]:
        """A file in /tmp of every container that runs, seen through its process."""
        return [Path(f"/proc/{worker['pid']}/root/tmp/{name}") for worker in self.workers() if worker["pid"]]

    def await_note(self, tag: str, word: str, seconds: float = 30.0) -> str:
        """The first line of a tag that starts with a word, waited for."""

        def found() -> str | None:
            return next((line for line in self.notes(tag) if line.startswith(word)), None)

        return eventually(found, seconds, f"no note {word!r} under {tag!r}: {self.notes(tag)}")

    def progress(self, tag: str) -> int:
        path = self.evidence / f"{tag}.progress"
        if self.launcher == "docker":
            if tag not in self._progress:
                self._progress[tag] = self._inside(f"{tag}.progress")
            path = next((each for each in self._progress[tag] if each.exists()), path)
        try:
            return int(path.read_text() or "0")
        except FileNotFoundError:
            return 0

    def workers(self, function: str = "") -> list[dict[str, object]]:
        workers = self.control("/v1/workers")["workers"]
        assert isinstance(workers, list)
        return [worker for worker in workers if function in ("", worker["function"])]

    @property
    def mark(self) -> str:
        """What the platform's containers are labelled with."""
        return (self.data / "identity").read_text().strip()

    def containers(self, client: Any, function: str = "", **filters: Any) -> list[dict[str, Any]]:
        """This platform's containers, or those of one function, as the engine lists them."""
        labels = [f"dialback.platform={self.mark}", *([f"dialback.function={function}"] if function else [])]
        found: list[dict[str, Any]] = client.containers(all=True, filters={"label": labels, **filters})
        return found

    def network(self, client: Any, function: str) -> str:
        """The id of the network of a function's workers."""
        labels = [f"dialback.platform={self.mark}", f"dialback.function={function}"]
        (found,) = client.networks(filters={"label": labels})
        return str(found["Id"])

    def worker_pid(self, function: str = "probe") -> int:
        """The process of a function's worker, which is started if there is none."""
        if not self.workers(function):
            self.get(f"/@{function}/")

        def pid() -> int | None:
            pids = [worker["pid"] for worker in self.workers(function) if worker["pid"]]
            return int(str(pids[0])) if pids else None

        return eventually(pid, 30.0, f"{function} has no worker")

    def trace(self, invocation: str) -> dict[str, object]:
        """The trace of an invocation that is over."""

        def over() -> dict[str, object] | None:
            answer = httpx.get(
                f"{self.control_url}/v1/invocations/{invocation}", headers={"authorization": f"Bearer {self.token}"}
            )
            trace = answer.json() if answer.status_code == 200 else None
            return trace if trace is not None and trace["verdict"] != "running" else None

        return eventually(over, 30.0, f"no trace of {invocation}")


def eventually(look: Callable[[], T | None], seconds: float, message: str) -> T:
    """What `look` finds, looked for until it is there; the wait is for a state, and bounded."""
    deadline = time.monotonic() + seconds
    pause = select.poll()
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(message)
        pause.poll(10)


def _toml(config: dict[str, object], env: dict[str, str]) -> str:
    plain = {key: value for key, value in config.items() if not isinstance(value, dict)}
    tables = {key: value for key, value in config.items() if isinstance(value, dict)}
    tables["env"] = {**env, **tables.get("env", {})}
    lines = [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def rss_kib(pid: int) -> int:
    """Resident memory of a process in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False
