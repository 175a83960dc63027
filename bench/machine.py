"""On what the figures were taken: without it they cannot be compared."""

import json
import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.subjects.base import ROOT
from bench.subjects.installed import PEERS


def machine() -> dict[str, Any]:
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average_before": os.getloadavg()[0],
        "versions": {name: _version(name) for name in ("uvicorn", "uvloop", "httptools", "websockets", "aiohttp")},
        "peers": _peers(),
        "node": _output(["node", "--version"]),
        "nginx": _output([shutil.which("nginx") or "/usr/sbin/nginx", "-v"]),
        "commit": _output(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]),
    }


def _peers() -> dict[str, str]:
    """What the locks say of the peers that come from registries."""
    found = re.search(r"^functions-framework==(\S+)", (ROOT / "requirements/peers.txt").read_text(), re.MULTILINE)
    python = {"functions-framework (Python)": found[1]} if found else {}
    return {**json.loads((PEERS / "package.json").read_text())["dependencies"], **python}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "missing"
    return (done.stdout or done.stderr).strip()
