"""One environment on disk: its interpreter, what is in it, and the record that says that it is complete."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RECORD: Final = "dialback.json"
"""Written last, inside the folder, before it gets its name."""
_DIST_INFO = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)\.dist-info")
_OURS: Final = "dialback_bridge"


@dataclass(frozen=True, slots=True)
class Package:
    """One thing that was installed."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Environment:
    """A complete environment. It is never changed, only removed."""

    key: str
    """32 hex digits over the requirements and the Python; the name of its folder"""
    folder: Path
    python: str
    """``3.12.4``"""
    source: str
    """the file that said what is in it; empty: a chosen Python alone"""
    packages: tuple[Package, ...]
    size: int
    """bytes"""

    @property
    def executable(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def usable(self) -> bool:
        """Whether its interpreter is still there: a Python may be uninstalled."""
        return self.executable.exists()

    def write_record(self, folder: Path) -> None:
        """Say in ``folder``, which becomes ours, that all of it is there; on the disk before this returns."""
        value = {
            "key": self.key,
            "python": self.python,
            "source": self.source,
            "packages": [[each.name, each.version] for each in self.packages],
            "size": self.size,
        }
        with (folder / RECORD).open("w") as file:
            json.dump(value, file)
            file.flush()
            os.fsync(file.fileno())


def read_environment(folder: Path) -> Environment | None:
    """The environment in ``folder``; None when there is none that is complete."""
    try:
        value = json.loads((folder / RECORD).read_bytes())
        return Environment(
            key=str(value["key"]),
            folder=folder,
            python=str(value["python"]),
            source=str(value["source"]),
            packages=tuple(Package(str(name), str(version)) for name, version in value["packages"]),
            size=int(value["size"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def installed_packages(folder: Path) -> tuple[Package, ...]:
    """What an installation left in ``folder``, by name, without what the platform put there. Blocks."""
    found = []
    for path in folder.glob("lib/python*/site-packages/*.dist-info"):
        match = _DIST_INFO.fullmatch(path.name)
        if match is not None and match["name"] != _OURS:
            found.append(Package(match["name"].replace("_", "-"), match["version"]))
    return tuple(sorted(found, key=lambda each: each.name.lower()))


def folder_size(folder: Path) -> int:
    """Bytes of all files in ``folder``; of one that changes meanwhile, about. Blocks."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except OSError:
                continue
    return total
