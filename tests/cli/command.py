"""What a test runs the command with, and what comes of it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from typer.testing import Result

COMMAND = Path(sys.executable).with_name("dialback")

Run = Callable[..., Result]
"""The command in this process."""


@dataclass
class Process:
    """A command that has ended."""

    code: int
    stdout: bytes
    stderr: str
