"""`dev-save`: from a file's rename to the first answer of the new code, over real HTTP, under `dialback dev`.

A workload of its own kind: it visits no peers and counts milliseconds of a person's day. Three functions: one that
imports nothing, a FastAPI application, and one of fifty files of which one changes. The clock starts when the saved
file takes its place; then the function is asked again and again until the new code answers.
"""

import http.client
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import Process
from bench.report import table
from bench.session import say

NAME = "dev-save"
TARGET_MS = 300.0
PAUSE = 1.5
"""Seconds between two saves, as a person leaves them; the next spare is ready by then."""
ASK_EVERY = 0.002

PLAIN = """
async def handler(event, context):
    return {"statusCode": 200, "body": "VERSION"}
"""
FASTAPI = """
from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def version():
    return "VERSION"
"""
FIFTY = "from parts import " + ", ".join(f"part{number}" for number in range(49)) + "\n" + PLAIN

FUNCTIONS: Mapping[str, str] = {"imports nothing": PLAIN, "FastAPI": FASTAPI, "fifty files": FIFTY}


@dataclass(slots=True)
class DevSave:
    """Milliseconds of each save, by function."""

    saves: dict[str, list[float]] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether each function's median keeps the target."""
        return all(values and statistics.median(values) < TARGET_MS for values in self.saves.values())

    def as_json(self) -> dict[str, object]:
        """For the result's file."""
        return {"target_ms": TARGET_MS, "met": self.met, "saves_ms": self.saves}

    def report(self) -> str:
        """The table."""
        rows = []
        for name, values in self.saves.items():
            spread = [f"{figure:.0f} ms" for figure in (statistics.median(values), min(values), max(values))]
            verdict = "pass" if statistics.median(values) < TARGET_MS else "MISS"
            rows.append([name, str(len(values)), *spread, verdict])
        head = ["function", "saves", "median", "least", "most", f"under {TARGET_MS:.0f} ms"]
        return f"### {NAME}: from a save to the new code's first answer\n\n{table(head, rows)}"


def measure(saves: int) -> DevSave:
    """Save each function so many times."""
    result = DevSave()
    with tempfile.TemporaryDirectory(prefix="dialback-bench-") as place:
        for name, text in FUNCTIONS.items():
            folder = Path(place, name.replace(" ", "-"))
            result.saves[name] = _saves(folder, text, saves)
            say(f"  {NAME} {name}: {', '.join(f'{value:.0f}' for value in result.saves[name])} ms")
    return result


def _saves(folder: Path, text: str, count: int) -> list[float]:
    _write(folder, text)
    environment = {**os.environ, "DIALBACK_DATA_DIR": str(folder.parent / "data")}
    command = [sys.executable, "-m", "dialback", "dev", str(folder), "--port", "0", "--json"]
    process = Process(command, cwd=folder.parent, env=environment)
    try:
        ready = process.wait_for(lambda line: _event(line, "ready"))
        host = str(ready["public_url"]).removeprefix("http://")
        process.wait_for(lambda line: _event(line, "running"))
        _await(host, "VERSION")
        values = []
        for number in range(count):
            time.sleep(PAUSE)
            wanted = f"version-{number}"
            draft = folder / ".app.py.draft"
            draft.write_text(text.replace("VERSION", wanted))
            begun = time.perf_counter()
            draft.replace(folder / "app.py")
            _await(host, wanted)
            values.append((time.perf_counter() - begun) * 1000)
        return values
    finally:
        process.stop()


def _write(folder: Path, text: str) -> None:
    folder.mkdir()
    if text is FIFTY:
        (folder / "parts").mkdir()
        (folder / "parts" / "__init__.py").touch()
        for number in range(49):
            (folder / "parts" / f"part{number}.py").write_text(f"VALUE = {number}\n")
    (folder / "app.py").write_text(text)


def _event(line: str, kind: str) -> dict[str, object] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and event.get("event") == kind else None


def _await(host: str, wanted: str, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    with closing(http.client.HTTPConnection(host, timeout=seconds)) as connection:
        while time.monotonic() < until:
            connection.request("GET", "/")
            if wanted in connection.getresponse().read().decode():
                return
            time.sleep(ASK_EVERY)
    raise RuntimeError(f"{wanted} did not answer within {seconds:g} s")
