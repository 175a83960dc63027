"""Dialback itself: as separate processes and as one, in each mode, with each socket rule, launcher and start."""

import json
import os
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

from bench.processes import Process, StartError, tree
from bench.subjects.base import ROOT, Missing, Subject
from bench.subjects.functions import NAME, Settings, write_function
from bench.subjects.zygote import without_zygotes

DIALBACK = str(ROOT / "dialback")

WHOLE = "buffers whole answers, 6 MB at most"
BUFFERED_CANNOT = {
    "stream": "sends the first byte with the last",
    "spaced": "sends all chunks at once",
    "bulk": WHOLE,
    "tiny": WHOLE,
    "turns": WHOLE,
    "download": WHOLE,
    "upload": WHOLE,
    "sse": "sends no event before the last",
    "sse10k": "sends no event before the last",
    "mixed": "has no streams",
}


class Dialback(Subject):
    """What the two shapes share: a data folder of their own, the function, the ready line, the deployment."""

    settings = Settings()
    quiet = 0.4  # what workers fork from is made a moment after the first one
    deploy_seconds = 60

    def __init__(self) -> None:
        super().__init__()
        self.control_url = ""

    def environment(self) -> dict[str, str]:
        """Ours, without settings that are meant for another Dialback; no access log, as nginx beside it has none."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DIALBACK_")}
        return {**inherited, "DIALBACK_ACCESS_LOG": "false", "DIALBACK_IN_FLIGHT": "20000"}

    def function(self) -> Path:
        folder = self.folder / "function"
        write_function(folder, self.variant, self.settings)
        return folder

    def serve(self, *words: str) -> tuple[Process, dict[str, Any]]:
        """Start `dialback WORDS` on this subject's data folder and wait for its ready line."""
        self.must_exist()
        command = [*self.program(), *words, "--data-dir", str(self.folder / "data"), "--json"]
        process = self.run(command, self.environment())
        return process, process.wait_for(ready_line, seconds=60)

    def program(self) -> list[str]:
        """What runs a service; the profile puts its sampler in between."""
        return [DIALBACK]

    def must_exist(self) -> None:
        """Raises Missing when this checkout has no platform to start."""
        if not (ROOT / "services/cli/src/dialback/main.py").exists():
            raise Missing("this checkout has no dialback.main to start")

    def deploy(self, ready: dict[str, Any]) -> None:
        command = [DIALBACK, "deploy", str(self.function()), "--data-dir", str(self.folder / "data"), "--json"]
        env = self.environment()
        if "control_url" in ready:
            self.control_url = env["DIALBACK_CONTROL_URL"] = ready["control_url"]
        seconds = self.deploy_seconds
        try:
            done = subprocess.run(
                command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise StartError(f"dialback deploy was not over after {seconds} s") from error
        if done.returncode:
            raise StartError(f"dialback deploy ended with {done.returncode}: {(done.stderr or done.stdout)[-500:]}")

    def workers(self) -> list[int]:
        """The process numbers of the workers there are, as the control API tells them."""
        token = (self.folder / "data" / "control.token").read_text().strip()
        asked = urllib.request.Request(
            f"{self.control_url.rstrip('/')}/v1/workers", headers={"authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return [worker["pid"] for worker in json.load(answer)["workers"] if worker["pid"]]

    def below_the_invoker(self) -> list[int]:
        """All processes that the invoker has started: workers, and what is kept to make them."""
        invoker = self.processes[0].pid
        return [pid for pid in tree([invoker]) if pid != invoker]


class DialbackServices(Dialback):
    name = "dialback"
    title = "Dialback, separate processes"

    def launch(self) -> str:
        _, invoker = self.serve("serve", "invoker", "--control-port", "0")
        _, edge = self.serve("serve", "edge", "--port", "0")
        self.deploy(invoker)
        return public_url(edge)

    def parts(self) -> dict[str, list[int]]:
        invoker, edge = self.processes
        return {"edge": [edge.pid], "invoker": [invoker.pid], "worker": self.below_the_invoker()}


class DialbackUp(Dialback):
    name = "dialback-up"
    title = "Dialback, one process"

    def launch(self) -> str:
        _, ready = self.serve("up", "--port", "0", "--control-port", "0")
        self.deploy(ready)
        return public_url(ready)

    def parts(self) -> dict[str, list[int]]:
        return {"edge and invoker": [self.processes[0].pid], "worker": self.below_the_invoker()}


class DialbackTunnel(DialbackServices):
    name = "dialback-tunnel"
    title = "Dialback, separate processes, tunnel"
    settings = Settings(mode="tunnel")


class DialbackUpTunnel(DialbackUp):
    name = "dialback-up-tunnel"
    title = "Dialback, one process, tunnel"
    settings = Settings(mode="tunnel")


class DialbackBuffered(DialbackServices):
    name = "dialback-buffered"
    title = "Dialback, separate processes, buffered"
    settings = Settings(mode="buffered")
    cannot = BUFFERED_CANNOT


class DialbackUpBuffered(DialbackUp):
    name = "dialback-up-buffered"
    title = "Dialback, one process, buffered"
    settings = Settings(mode="buffered")
    cannot = BUFFERED_CANNOT


class DialbackEach(DialbackServices):
    name = "dialback-each"
    title = "Dialback, separate processes, a socket per invocation"
    settings = Settings(callback_socket="each")


class DialbackUpEach(DialbackUp):
    name = "dialback-up-each"
    title = "Dialback, one process, a socket per invocation"
    settings = Settings(callback_socket="each")


class DialbackSpawn(DialbackServices):
    """Without a zygote: each worker is an interpreter that starts anew."""

    name = "dialback-spawn"
    title = "Dialback, separate processes, no zygote"

    def environment(self) -> dict[str, str]:
        return {**super().environment(), **without_zygotes()}


class DialbackUpSpawn(DialbackUp):
    name = "dialback-up-spawn"
    title = "Dialback, one process, no zygote"

    def environment(self) -> dict[str, str]:
        return {**super().environment(), **without_zygotes()}


class DialbackDocker(DialbackServices):
    """The worker in a container; its processes are found through the engine, since they are not the invoker's."""

    name = "dialback-docker"
    title = "Dialback, separate processes, docker launcher"
    settings = Settings(launcher="docker")
    deploy_seconds = 300  # the image may have to be built first

    def launch(self) -> str:
        if shutil.which("docker") is None:
            raise Missing("there is no docker here")
        return super().launch()

    def pids(self) -> list[int]:
        return [*super().pids(), *self.contained()]

    def parts(self) -> dict[str, list[int]]:
        return {**super().parts(), "worker": self.contained()}

    def contained(self) -> list[int]:
        """The processes in this platform's containers, where they are this kernel's; the invoker knows them."""
        return [pid for worker in self.workers() for pid in tree([worker])] if self.control_url else []


class DialbackDockerTunnel(DialbackDocker):
    name = "dialback-docker-tunnel"
    title = "Dialback, separate processes, docker launcher, tunnel"
    settings = Settings(mode="tunnel", launcher="docker")


def ready_line(line: str) -> dict[str, Any] | None:
    """The JSON of {"event": "ready", ...}; None for any other line."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and value.get("event") == "ready" else None


def public_url(ready: dict[str, Any]) -> str:
    """The function's base URL behind the edge. Raises StartError when the ready line does not say where that is."""
    url = ready.get("public_url") or ready.get("url")
    if not url:
        raise StartError(f"the ready line has no public_url: {ready}")
    return f"{url.rstrip('/')}/@{NAME}"
