"""What a look at the machine comes to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Grade(Enum):
    """How good it is."""

    OK = "ok"
    NOTE = "note"
    """Something optional is not there."""
    WARN = "warn"
    """Something works less well than it could."""
    BROKEN = "broken"
    """The platform cannot run as it is set up."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` was looked at, what was `found`, and what to `do`."""

    what: str
    grade: Grade
    found: str
    do: str = ""
