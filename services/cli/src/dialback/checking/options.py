"""What `check` was told, read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dialback.checking.session import Wanted
from dialback.errors import UsageProblem
from dialback.simulators.units import duration

TYPES = ("text/plain", "text/event-stream", "application/x-ndjson", "text/html", "application/octet-stream")


def wanted_of(chunks: int, gap: str, kind: str, headers: Sequence[str], longest: str, verify: bool) -> Wanted:
    """UsageProblem names the option."""
    if kind not in TYPES:
        raise UsageProblem(f"--type: the probe cannot send {kind!r}", hint="it sends " + ", ".join(TYPES))
    between = _time("--gap", gap)
    if not 0.01 <= between <= 5:
        raise UsageProblem(f"--gap: {gap} is out of range (10ms to 5s)")
    return Wanted(
        headers=tuple(_header(line) for line in headers),
        chunks=chunks,
        gap_ms=round(between * 1000),
        kind=kind,
        seconds=_time("--for", longest),
        verify=verify,
    )


def _time(flag: str, said: str) -> float:
    try:
        return duration(said, Path())
    except ValueError as wrong:
        raise UsageProblem(f"{flag}: {wrong}") from None


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name.strip() or not line.isprintable():
        raise UsageProblem(f"-H: {line!r} is not 'name: value'")
    return name.strip(), value.strip()
