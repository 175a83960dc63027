"""The function's own files that an installation reads: found, kept inside its folder, and hashed."""

from __future__ import annotations

import hashlib
import os
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from dialback_invoker.errors import RequirementsError

LARGEST: Final = 8 * 1024 * 1024
"""bytes of one file that says what is required; a uv.lock of a large project has half a megabyte"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands, for errors."""

    file: str
    line: int | None
    source: str | None

    def error(self, message: str) -> RequirementsError:
        """An error at this place."""
        return RequirementsError(message, file=self.file, line=self.line, source=self.source)


def read_text(folder: Path, file: str, place: Place | None = None) -> str:
    """The text of a file in ``folder``. Raises RequirementsError: not there, too large, not UTF-8."""
    place = place or Place(file, None, None)
    try:
        with (folder / file).open("rb") as opened:
            raw = opened.read(LARGEST + 1)
    except OSError as error:
        raise place.error(f"{file} cannot be read: {error.strerror or error}") from error
    if len(raw) > LARGEST:
        raise place.error(f"{file} is larger than {LARGEST} bytes")
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise RequirementsError("is not UTF-8", file=file, line=raw.count(b"\n", 0, error.start) + 1) from error


class LocalFiles:
    """Paths that were named, below ``folder``, and the SHA-256 of what is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.digests: dict[str, str] = {}

    def inside(self, named: str, place: Place, base: str = "") -> str:
        """``named``, a path or a ``file:`` URL, as a path from the folder. ``base``: the folder it is relative to.

        Raises RequirementsError when it leaves the folder: nothing else of this machine belongs to the function.
        """
        path = unquote(urlsplit(named).path) if named.startswith("file:") else named
        if "\\" in path or path.startswith(("/", "~")):
            raise place.error(
                f"{named} is not inside the function's folder: put it there and name it by a relative path"
            )
        inner = posixpath.normpath(posixpath.join(base, path))
        if inner == ".." or inner.startswith("../"):
            raise place.error(f"{named} leaves the function's folder")
        return inner

    def take(self, named: str, place: Place, base: str = "") -> str:
        """Count what is at ``named`` into the hash; returns its path from the folder. Raises RequirementsError."""
        inner = self.inside(named, place, base)
        if inner not in self.digests:
            self.digests[inner] = self._digest(inner, named, place)
        return inner

    def _digest(self, inner: str, named: str, place: Place) -> str:
        path = self.folder / inner
        total = hashlib.sha256()
        try:
            if path.is_dir():
                for each in sorted(_files_below(path)):
                    name = os.path.relpath(each, path).encode()
                    total.update(len(name).to_bytes(4, "big") + name + bytes.fromhex(_file_digest(each)))
                return total.hexdigest()
            return _file_digest(str(path))
        except FileNotFoundError:
            raise place.error(f"{named} is not in the function's folder") from None
        except OSError as error:
            raise place.error(f"{named} cannot be read: {error.strerror or error}") from error


def _files_below(folder: Path) -> list[str]:
    return [os.path.join(root, name) for root, _, names in os.walk(folder) for name in names]


def _file_digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
