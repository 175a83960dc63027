"""What a shell is told when it asks how a word could go on. It never fails and never says anything else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def function_names(ctx: Any, incomplete: str) -> list[str]:
    """Names of deployed functions that begin so; none when no platform answers."""
    from dialback.control_client import ControlClient
    from dialback.errors import CliError
    from dialback.settings import resolve
    from dialback.whereabouts import locate

    said = ctx.params
    try:
        settings = resolve({"data_dir": said.get("data_dir")}, os.environ, Path.cwd(), said.get("config"))
        with ControlClient(locate(said.get("control"), said.get("token"), settings, os.environ)) as client:
            found = [function.name for function in client.functions().functions]
    except (CliError, OSError):
        return []
    return [name for name in found if name.startswith(incomplete)]
