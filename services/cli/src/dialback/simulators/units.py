"""Amounts with their units, read strictly: a number without a unit is refused, for nobody can tell what it means."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

BYTES: Final = {"B": 1, "kB": 1000, "KiB": 1024, "MB": 10**6, "MiB": 2**20, "GB": 10**9, "GiB": 2**30}
SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}
LONGEST: Final = 3600.0
"""Seconds that can be asked for."""
_AMOUNT: Final = re.compile(r"(\d{1,12}(?:\.\d{1,6})?) ?([A-Za-z]+)(/s)?", re.ASCII)


def rate(value: object, _folder: Path) -> float:
    """`8kB/s` in bytes a second. ValueError."""
    number, unit, per_second = _read(value, "8kB/s")
    if unit not in BYTES or not per_second:
        raise ValueError(f"{value!r} is not a rate: write 8kB/s or 1MiB/s ({_units(BYTES)} a second)")
    return _within(number * BYTES[unit], 1, 10**10, value, "1B/s to 10GB/s")


def duration(value: object, _folder: Path) -> float:
    """`200ms` in seconds. ValueError."""
    number, unit, per_second = _read(value, "200ms")
    if unit not in SECONDS or per_second:
        raise ValueError(f"{value!r} is not a time: write 200ms or 1.5s ({_units(SECONDS)})")
    return _within(number * SECONDS[unit], 0.001, LONGEST, value, "1ms to 60m")


def size(value: object, _folder: Path) -> int:
    """`64kB` in bytes. ValueError."""
    number, unit, per_second = _read(value, "64kB")
    if unit not in BYTES or per_second:
        raise ValueError(f"{value!r} is not a size: write 64kB or 1MiB ({_units(BYTES)})")
    return int(_within(number * BYTES[unit], 1, 2**40, value, "1B to 1024GiB"))


def _read(value: object, example: str) -> tuple[float, str, bool]:
    if not isinstance(value, str):
        raise ValueError(f"it must be text with a unit, such as {example!r}")
    found = _AMOUNT.fullmatch(value)
    if found is None:
        raise ValueError(f"{value!r} is not a number and a unit, such as {example}")
    return float(found[1]), found[2], bool(found[3])


def _within(number: float, least: float, most: float, said: object, allowed: str) -> float:
    if not least <= number <= most:
        raise ValueError(f"{said} is out of range ({allowed})")
    return number


def _units(known: dict[str, int] | dict[str, float]) -> str:
    return ", ".join(known)
