"""How a worker's code is reached while it stands still: by this terminal, by an editor."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

from dialback_invoker.development import Debugging


def debugging(lock: Path, source: Path, port: int | None) -> Debugging:
    """What workers are told. `lock` is held while a breakpoint has the terminal; `source` is where an editor has the
    code; `port` None: no editor may attach.
    """
    return Debugging(terminal(), str(lock), port or 0, debugpy_folder() if port else "", str(source))


def terminal() -> str:
    """The terminal that a breakpoint can talk on; empty when there is none."""
    try:
        if sys.stdin.isatty() and sys.stdout.isatty():
            return os.ttyname(sys.stdin.fileno())
    except (OSError, ValueError):
        pass
    return ""


def debugpy_folder() -> str:
    """Where debugpy can be imported from here; empty when it cannot."""
    found = importlib.util.find_spec("debugpy")
    return "" if found is None or found.origin is None else str(Path(found.origin).parent.parent)


def launch_json(port: int) -> str:
    """What VS Code wants in `.vscode/launch.json`, in one line; `restart` attaches again after a save."""
    return json.dumps(
        {
            "name": "dialback dev",
            "type": "debugpy",
            "request": "attach",
            "connect": {"host": "127.0.0.1", "port": port},
            "restart": True,
        }
    )
