"""The Pythons of this machine, as uv finds them, and the choice of one for a function."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dialback_invoker.environments.version_range import VersionRange
from dialback_invoker.errors import NoPython

OLDEST: Final = (3, 10)
"""what the bridge needs"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A CPython that is installed."""

    version: tuple[int, int, int]
    executable: Path

    @property
    def text(self) -> str:
        """``3.12.4``"""
        return ".".join(map(str, self.version))


def own_interpreter() -> Interpreter:
    """The one that runs this platform."""
    return Interpreter(sys.version_info[:3], Path(sys.executable))


@dataclass(frozen=True, slots=True)
class Wish:
    """What a function says about its Python."""

    python: str | None = None
    """``3.12`` or ``3.12.4``, of dialback.toml"""
    requires: str | None = None
    """a specifier such as ``>=3.11,<3.14``"""
    file: str = ""
    """where ``requires`` stands"""

    def takes(self, interpreter: Interpreter) -> bool:
        """Whether the function runs there. Raises NoPython for a specifier that cannot be read."""
        wanted = tuple(int(part) for part in self.python.split(".")) if self.python else ()
        return interpreter.version[: len(wanted)] == wanted and self._range().holds(interpreter.version)

    def contradicts_itself(self) -> bool:
        """Whether no Python can be what both places ask for; said of ``3.12`` only when no 3.12.x would do."""
        if self.python is None:
            return False
        named = tuple(int(part) for part in self.python.split("."))
        patches = [named[2]] if len(named) == 3 else range(100)
        return not any(self._range().holds((named[0], named[1], patch)) for patch in patches)

    def _range(self) -> VersionRange:
        try:
            return VersionRange.parse(self.requires or "")
        except ValueError as error:
            raise NoPython(f'requires-python = "{self.requires}": {error}', file=self.file or None) from None


def choose(wish: Wish, there: Sequence[Interpreter]) -> Interpreter:
    """The newest of ``there`` that the function takes. Raises NoPython with what there is."""
    if wish.contradicts_itself():
        raise NoPython(
            f'python = "{wish.python}" in dialback.toml is none that {wish.file} takes:'
            f' requires-python = "{wish.requires}"'
        )
    fitting = [each for each in there if each.version >= OLDEST and wish.takes(each)]
    if fitting:
        return max(fitting, key=lambda each: each.version)
    wanted, file = (
        (f'python = "{wish.python}"', "dialback.toml")
        if wish.python
        else (f'requires-python = "{wish.requires}"', wish.file)
    )
    usable = sorted({each.version for each in there if each.version >= OLDEST})
    found = ", ".join(".".join(map(str, version)) for version in usable) or "none"
    raise NoPython(
        f"{wanted}: no such Python is on this machine; there are: {found}. `uv python install` installs others",
        file=file,
    )


def read_list(output: bytes) -> list[Interpreter]:
    """What ``uv python list --output-format json`` says: CPythons of the usual build, each version once."""
    found: dict[tuple[int, int, int], Interpreter] = {}
    for item in json.loads(output):
        version = _version(item)
        path = item.get("path")
        usual = item.get("implementation") == "cpython" and item.get("variant", "default") == "default"
        if usual and version is not None and isinstance(path, str):
            found.setdefault(version, Interpreter(version, Path(path)))
    return list(found.values())


def _version(item: Mapping[str, Any]) -> tuple[int, int, int] | None:
    match = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", str(item.get("version")))  # no pre-releases
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def search_path(environ: Mapping[str, str], own: Path) -> str:
    """Where Pythons are looked for: our own first, PATH, and those that pyenv has installed.

    Without pyenv's shims: a shim is a shell script that costs a tenth of a second at each start, and most of them only
    say that they are not enabled.
    """
    root = Path(environ.get("PYENV_ROOT") or Path(environ.get("HOME", "/")) / ".pyenv")
    shims = str(root / "shims")
    usual = [part for part in environ.get("PATH", os.defpath).split(os.pathsep) if part.rstrip("/") != shims]
    try:
        installed = sorted(str(each / "bin") for each in (root / "versions").iterdir())
    except OSError:
        installed = []
    return os.pathsep.join(dict.fromkeys([str(own.parent), *usual, *installed]))
