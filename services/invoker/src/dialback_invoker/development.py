"""What `dialback dev` asks of an invoker beyond what every platform does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dialback_invoker.launchers.base import LogLine
from dialback_invoker.launchers.imports import imports_of


@dataclass(frozen=True, slots=True)
class Debugging:
    """How a worker's code is stopped and looked at. It travels in the worker's launch configuration."""

    terminal: str = ""
    """The device on which `breakpoint()` talks with a person; empty: there is none."""
    lock: str = ""
    """A file that is locked while it does."""
    port: int = 0
    """Where debugpy listens, on 127.0.0.1; 0: nowhere."""
    path: str = ""
    """A folder to import debugpy from, when the function's own environment has none."""
    source: str = ""
    """Where an editor has the code that runs as a copy."""


@dataclass(frozen=True, slots=True)
class Development:
    """Versions serve only when they have started, without time-outs; a spare worker waits for the next one.

    `on_line` is given every line of output as it comes, redacted; it must neither block nor raise.
    """

    on_line: Callable[[LogLine], None]
    debugging: Debugging = field(default_factory=Debugging)
    source: Path | None = None
    """The folder whose code the spare gets ready for: it imports in advance what that imports from elsewhere."""

    def imports(self) -> tuple[str, ...]:
        """What the code in `source` imports now, and the debugger where one is wanted. Blocks."""
        found = () if self.source is None else imports_of(self.source)
        return (*found, "debugpy") if self.debugging.port else found
