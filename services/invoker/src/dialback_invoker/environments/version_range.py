"""The version specifiers of requires-python: https://packaging.python.org/en/latest/specifications/version-specifiers/

Releases only, as Pythons have them: no epochs, local versions or pre-releases.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

Version = tuple[int, ...]

_CLAUSE = re.compile(r"(~=|===?|!=|<=|>=|<|>)\s*v?(\d+(?:\.\d+)*)(\.\*)?")
_ORDER: dict[str, Callable[[Version, Version], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class VersionRange:
    """Clauses that must all hold; none: every version."""

    clauses: tuple[tuple[str, Version, bool], ...]
    """operator, release, whether ``.*`` follows"""

    @classmethod
    def parse(cls, text: str) -> VersionRange:
        """Raises ValueError for what is no specifier."""
        clauses = []
        for part in filter(None, (part.strip() for part in text.split(","))):
            found = _CLAUSE.fullmatch(part)
            if found is None:
                raise ValueError(f"{part!r} is no version specifier, such as >=3.11")
            sign, release, star = found[1], tuple(int(each) for each in found[2].split(".")), bool(found[3])
            if (star and sign not in ("==", "!=")) or (sign == "~=" and len(release) < 2):
                raise ValueError(f"{part!r} is no version specifier, such as >=3.11")
            clauses.append((sign, release, star))
        return cls(tuple(clauses))

    def holds(self, version: Version) -> bool:
        """Whether ``version`` is in the range."""
        return all(_holds(version, *clause) for clause in self.clauses)


def _holds(version: Version, sign: str, release: Version, star: bool) -> bool:
    if sign == "~=":
        return _padded(version, release) >= release and version[: len(release) - 1] == release[:-1]
    if sign in _ORDER:
        length = max(len(version), len(release))
        return _ORDER[sign](_to(version, length), _to(release, length))
    length = len(release) if star else max(len(version), len(release))
    same = _to(version, length) == _to(release, length)
    return same is not (sign == "!=")


def _padded(version: Version, other: Version) -> Version:
    return _to(version, max(len(version), len(other)))


def _to(version: Version, length: int) -> Version:
    """Filled up with zeros, or cut."""
    return (version + (0,) * length)[:length]
