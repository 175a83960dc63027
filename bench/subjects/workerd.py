"""workerd, Cloudflare's runtime, from npm: the same workloads in JavaScript, no proxy in front."""

import json
import shutil
from collections.abc import Mapping
from typing import Any, ClassVar

from bench.processes import StartError
from bench.subjects.base import Subject
from bench.subjects.installed import PEERS, node_modules


class Workerd(Subject):
    name = "workerd"
    title = "workerd"
    cannot: ClassVar[Mapping[str, str]] = {"turns": "has no turn of the event loop that a function could give away"}

    def launch(self) -> str:
        binaries = sorted((node_modules() / "@cloudflare").glob("workerd-*/bin/workerd"))
        if not binaries:
            raise StartError("npm has no workerd for this machine")
        for name in ("workerd.capnp", "workerd.js"):
            shutil.copy(PEERS / name, self.folder)
        command = [str(binaries[0]), "serve", str(self.folder / "workerd.capnp"), "--control-fd=1"]
        return f"http://127.0.0.1:{self.run(command).wait_for(port)}"


def port(line: str) -> int | None:
    """The port of a line of workerd's control descriptor; None for any other line."""
    try:
        event: Any = json.loads(line)
    except ValueError:
        return None
    return int(event["port"]) if isinstance(event, dict) and event.get("event") == "listen" else None
