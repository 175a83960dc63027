"""Google's functions-framework, from PyPI and from npm: what a function platform's own local server does."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from bench.processes import Process
from bench.subjects.base import Subject
from bench.subjects.installed import PEERS, node_modules, python_environment
from bench.subjects.ports import on_a_free_port

WHOLE_BODY = "reads a whole body into memory before the function begins"


class _FunctionsFramework(Subject):
    def serve(self, command: list[str], environment: dict[str, str], port_option: str) -> str:
        """Start it on a port that is free; the base URL."""

        def start(port: int) -> Process:
            return self.run([*command, f"{port_option}={port}"], {**os.environ, **environment})

        def give_up(process: Process) -> None:
            self.processes.remove(process)
            process.stop()

        return f"http://127.0.0.1:{on_a_free_port(start, give_up)}"


class FunctionsFrameworkPython(_FunctionsFramework):
    name = "functions-python"
    title = "functions-framework, Python"
    cannot: ClassVar[Mapping[str, str]] = {
        "turns": "has no event loop",
        "sse": "gives each stream a thread, and has too few for 1,000 streams",
        "sse10k": "gives each stream a thread, and has too few for 10,000 streams",
        "mixed": "gives each stream a thread, and has too few for 200 streams",
        "upload": WHOLE_BODY,
    }

    def launch(self) -> str:
        program = python_environment() / "functions-framework"
        source = PEERS / "functions_framework_python/main.py"
        # By its interpreter: what stands in the script's first line is where it was installed first.
        command = [str(program.parent / "python"), "-m", "functions_framework", "--target=app", f"--source={source}"]
        return self.serve([*command, "--host=127.0.0.1"], {"PYTHONDONTWRITEBYTECODE": "1"}, "--port")


class FunctionsFrameworkNode(_FunctionsFramework):
    name = "functions-node"
    title = "functions-framework, Node"
    cannot: ClassVar[Mapping[str, str]] = {"upload": WHOLE_BODY}

    def launch(self) -> str:
        main: Path = node_modules() / "@google-cloud/functions-framework/build/src/main.js"
        source = PEERS / "functions_framework_node"
        command = ["node", str(main), "--target=app", f"--source={source}"]
        return self.serve(command, {"NODE_ENV": "production"}, "--port")
