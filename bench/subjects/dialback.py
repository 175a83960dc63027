"""Dialback itself, process launcher: as separate processes and as one, in the modes `callback` and `tunnel`."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from bench.processes import Process, StartError, tree
from bench.subjects.base import BENCH, ROOT, Missing, Subject

DIALBACK = str(ROOT / "dialback")
NAME = "bench"

# One worker, as the peers have one uvicorn process; room for a thousand streams at once.
FUNCTION = """\
name = "{name}"
entry = "app:app"
mode = "{mode}"
callback_socket = "{callback_socket}"
launcher = "process"
concurrency = 2000
max_workers = 1
memory_mb = 1024
idle_seconds = 3600
"""


class Dialback(Subject):
    """What the two shapes share: a data folder of their own, the function, the ready line, the deployment."""

    callback_socket = "keep"
    mode = "callback"

    def environment(self) -> dict[str, str]:
        """Ours, without settings that are meant for another Dialback; no access log, as nginx beside it has none."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DIALBACK_")}
        return {**inherited, "DIALBACK_ACCESS_LOG": "false"}

    def function(self) -> Path:
        folder = self.folder / "function"
        folder.mkdir()
        shutil.copy(BENCH / "app.py", folder)
        settings = FUNCTION.format(name=NAME, mode=self.mode, callback_socket=self.callback_socket)
        (folder / "dialback.toml").write_text(settings)
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
            env["DIALBACK_CONTROL_URL"] = ready["control_url"]
        try:
            done = subprocess.run(
                command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=60, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise StartError("dialback deploy was not over after 60 s") from error
        if done.returncode:
            raise StartError(f"dialback deploy ended with {done.returncode}: {(done.stderr or done.stdout)[-500:]}")


class DialbackServices(Dialback):
    name = "dialback"
    title = "Dialback, separate processes"

    def parts(self) -> dict[str, list[int]]:
        invoker, edge = self.processes
        workers = [pid for pid in tree([invoker.pid]) if pid != invoker.pid]
        return {"edge": [edge.pid], "invoker": [invoker.pid], "worker": workers}

    def launch(self) -> str:
        _, invoker = self.serve("serve", "invoker", "--control-port", "0")
        _, edge = self.serve("serve", "edge", "--port", "0")
        self.deploy(invoker)
        return public_url(edge)


class DialbackTunnel(DialbackServices):
    name = "dialback-tunnel"
    title = "Dialback, separate processes, tunnel"
    mode = "tunnel"


class DialbackUp(Dialback):
    name = "dialback-up"
    title = "Dialback, one process"

    def parts(self) -> dict[str, list[int]]:
        (platform,) = self.processes
        workers = [pid for pid in tree([platform.pid]) if pid != platform.pid]
        return {"edge and invoker": [platform.pid], "worker": workers}

    def launch(self) -> str:
        _, ready = self.serve("up", "--port", "0", "--control-port", "0")
        self.deploy(ready)
        return public_url(ready)


class DialbackUpTunnel(DialbackUp):
    name = "dialback-up-tunnel"
    title = "Dialback, one process, tunnel"
    mode = "tunnel"


class DialbackEach(DialbackServices):
    name = "dialback-each"
    title = "Dialback, separate processes, a socket per invocation"
    callback_socket = "each"


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
