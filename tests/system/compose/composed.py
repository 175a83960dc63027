"""The platform in compose, from a clean checkout, as its users start it."""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from ..platform import eventually

ROOT = Path(__file__).resolve().parents[3]
UP_SECONDS = 120


def docker(*arguments: str, check: bool = True, seconds: float = 60) -> str:
    """What `docker ...` prints."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=seconds, check=False)
    if check and done.returncode:
        raise AssertionError(f"docker {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


@dataclass(frozen=True)
class Engine:
    """How this machine's engine is reached: its socket, and the group that may use it."""

    socket: str
    group: int


@dataclass(frozen=True)
class Belongings:
    """Everything at the engine that compose could leave behind."""

    containers: frozenset[str]
    networks: frozenset[str]
    volumes: frozenset[str]

    @classmethod
    def now(cls, project: str) -> "Belongings":
        """What there is, but for what other projects on the same engine made meanwhile."""
        return cls(
            _mine(project, "ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Labels}}"),
            _mine(project, "network", "ls", "--no-trunc", "--format", "{{.ID}} {{.Name}} {{.Labels}}"),
            _mine(project, "volume", "ls", "--format", "{{.Name}} {{.Labels}}"),
        )


def _mine(project: str, *arguments: str) -> frozenset[str]:
    return frozenset(line for line in docker(*arguments).splitlines() if project in line)


class Composed:
    """One project of compose on free ports. `down` leaves nothing of it."""

    def __init__(self, checkout: Path, engine: Engine, **variables: str) -> None:
        """``variables`` come on top of what a user would say on a machine with taken ports: where the engine's socket
        is, and not which group it belongs to.
        """
        self.checkout = checkout
        self.project = f"dialback-test-{secrets.token_hex(4)}"
        self.port, self.control_port = free_port(), free_port()
        self.files: tuple[str, ...] = ("docker-compose.yml",)
        self.ready_with: list[str] = []
        """The functions that were there when everything was healthy."""
        self.environ = {
            **{
                name: os.environ[name]
                for name in ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG")
                if name in os.environ
            },
            "DIALBACK_PORT": str(self.port),
            "DIALBACK_CONTROL_PORT": str(self.control_port),
            "DIALBACK_VERSION": version(checkout),
            "DIALBACK_DOCKER_SOCKET": engine.socket,
            **variables,
        }

    def compose(
        self, *arguments: str, check: bool = True, seconds: float = UP_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """`docker compose ...` in the checkout."""
        files = [part for name in self.files for part in ("-f", f"deploy/{name}")]
        done = subprocess.run(
            ["docker", "compose", "-p", self.project, *files, *arguments],
            cwd=self.checkout,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if check and done.returncode:
            logs = docker("compose", "-p", self.project, "logs", "--no-color", check=False)
            said = f"{done.stdout}\n{done.stderr}\n{logs[-6000:]}"
            raise AssertionError(f"docker compose {' '.join(arguments)}: {done.returncode}\n{said}")
        return done

    def up(self, *arguments: str) -> None:
        """Start everything, and wait until it is healthy."""
        self.compose("up", "--detach", "--wait", *arguments)
        functions = self.control("/v1/functions")["functions"]
        assert isinstance(functions, list)
        self.ready_with = [str(function["name"]) for function in functions]

    def down(self) -> None:
        """What the documents say: one command, and the volumes with it."""
        self.compose("down", "--volumes")

    def destroy(self) -> None:
        """Whatever happened, nothing is left for the next test. In two steps, as `make down`: compose gives up when it
        is to remove a worker that the invoker removes at the same moment.
        """
        self.compose("down", "--volumes", "--timeout", "20", check=False)

        def nothing_left() -> bool:
            self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5", check=False)
            return Belongings.now(self.project) == Belongings(frozenset(), frozenset(), frozenset())

        eventually(nothing_left, 20.0, f"{Belongings.now(self.project)} is left")

    def container(self, service: str, number: int = 1) -> str:
        return f"{self.project}-{service}-{number}"

    def inspect(self, service: str) -> dict[str, object]:
        [found] = json.loads(docker("inspect", self.container(service)))
        assert isinstance(found, dict)
        return found

    def logs(self, service: str) -> str:
        return self.compose("logs", "--no-color", "--no-log-prefix", service).stdout

    def inside(self, service: str, *command: str, check: bool = True) -> str:
        """What a command prints inside a service's container."""
        return docker("exec", self.container(service), *command, check=check)

    # --- use, as the host's user does ---------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self.control_port}"

    @property
    def token(self) -> str:
        return (self.checkout / "deploy/.dialback/control.token").read_text().strip()

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`./dialback ...` of the checkout, by somebody who has configured nothing. The packages that `./dialback`
        would download first are those of this run.
        """
        home = self.checkout.parent / "home"
        sources = os.pathsep.join(str(path) for path in sorted(self.checkout.glob("services/*/src")))
        done = subprocess.run(
            [sys.executable, "-m", "dialback", *arguments],
            cwd=self.checkout,
            env={"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "PYTHONPATH": sources},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"dialback {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def control(self, path: str) -> dict[str, object]:
        answer = httpx.get(self.control_url + path, headers={"authorization": f"Bearer {self.token}"}, timeout=10)
        answer.raise_for_status()
        body = answer.json()
        assert isinstance(body, dict)
        return body

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


def clone(folder: Path) -> Path:
    """A clean checkout of what is committed here. Each project has its own, for it writes its address there."""
    checkout = folder / "checkout"
    command: Sequence[str] = ("git", "clone", "--quiet", "--shared", str(ROOT), str(checkout))
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    (folder / "home").mkdir()
    return checkout


def version(checkout: Path) -> str:
    """The tag of the images: checkouts that make the same ones share them, and what is built on top of them."""
    parts = [f"HEAD:{part}" for part in (".dockerignore", "deploy", "examples", "requirements", "services")]
    done = subprocess.run(
        ("git", "rev-parse", *parts), cwd=checkout, capture_output=True, text=True, check=True, timeout=60
    )
    return f"test-{hashlib.sha256(done.stdout.encode()).hexdigest()[:12]}"


@contextmanager
def built(checkout: Path, engine: Engine) -> Iterator[None]:
    """Every image is there: built once, whoever tests beside us, and removed by the last."""
    tag = version(checkout)
    locks = Path(tempfile.gettempdir()) / f"dialback-images-{tag}"
    with locks.with_suffix(".build").open("w") as building, locks.with_suffix(".use").open("w") as using:
        fcntl.flock(using, fcntl.LOCK_SH)
        fcntl.flock(building, fcntl.LOCK_EX)
        composed = Composed(checkout, engine)
        composed.files = ("docker-compose.yml", "edges.yml")
        composed.compose("build", "--quiet", seconds=400)
        fcntl.flock(building, fcntl.LOCK_UN)
        yield
        try:
            fcntl.flock(using, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        images = docker("images", "--quiet", "--filter", f"reference=dialback/*:{tag}").split()
        if images:
            docker("rmi", "--force", *sorted(set(images)), check=False)


def missing() -> str:
    """Why the tests of this folder cannot run here; empty when they can."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    for command in (("version",), ("compose", "version")):
        done = subprocess.run(["docker", *command], capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            return f"docker {' '.join(command)}: {(done.stderr or done.stdout).strip()}"
    return ""
