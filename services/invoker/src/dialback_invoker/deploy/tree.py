"""The folder that a bundle is unpacked into: every name and every byte passes here and is checked before it is written.

Only regular files and folders can be written, and only below a fresh folder of ours, so no link can stand in any path.
Limits count what was really written, never what a header promises.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dialback_invoker.errors import BundleError, BundleTooLarge
from dialback_invoker.paths import from_os_error

_LONGEST_PATH: Final = 1024  # bytes
_LONGEST_PART: Final = 255  # bytes, what file systems allow
_DEEPEST: Final = 32


@dataclass(frozen=True, slots=True)
class BundleLimits:
    """What a bundle may weigh; bytes unless said otherwise."""

    packed: int = 128 * 1024 * 1024
    unpacked: int = 512 * 1024 * 1024
    file: int = 256 * 1024 * 1024
    entries: int = 20_000
    """files and folders together"""
    ratio: int = 100
    """unpacked to packed, once more than ``ratio_from`` was unpacked"""
    ratio_from: int = 10 * 1024 * 1024


class Tree:
    """Writes checked files below ``root``, which must not exist yet; use `content_hash` when all are written."""

    def __init__(self, root: Path, limits: BundleLimits) -> None:
        self._root = root
        self._limits = limits
        self._seen: dict[str, str] = {}  # folded path -> path as written
        self._folders: set[str] = set()
        self._files: dict[str, tuple[bool, bytes]] = {}  # path -> executable, SHA-256 of the content
        self._entries = 0
        self.unpacked = 0
        try:
            root.mkdir(mode=0o700)
        except OSError as error:
            raise from_os_error(error, f"cannot unpack into {root}") from error

    def count_entry(self) -> None:
        """One more thing in the bundle, whatever it is; raises BundleTooLarge past the limit."""
        self._entries += 1
        if self._entries > self._limits.entries:
            raise BundleTooLarge(f"the bundle has more than {self._limits.entries} files and folders")

    def count_bytes(self, count: int, packed: int) -> None:
        """``count`` more bytes were inflated, ``packed`` bytes of the bundle were read so far."""
        self.unpacked += count
        if self.unpacked > self._limits.unpacked:
            raise BundleTooLarge(f"the bundle unpacks to more than {self._limits.unpacked} bytes")
        if self.unpacked > self._limits.ratio_from and self.unpacked > packed * self._limits.ratio:
            raise BundleTooLarge(f"the bundle inflates more than {self._limits.ratio} times, as a bomb does")

    def folder(self, raw: bytes) -> None:
        """Make a folder; the root itself ("./") is there already, and a folder may be named twice."""
        parts = _parts(raw)
        self._make_folders(parts)

    def file(self, raw: bytes, executable: bool, content: Iterable[bytes]) -> None:
        """Write one file. ``content`` is drawn piece by piece and must call `count_bytes` for what it inflates."""
        parts = _parts(raw)
        if not parts:
            raise BundleError(f"the bundle has a file named {_show(raw)}")
        self._make_folders(parts[:-1])
        path = "/".join(parts)
        if path in self._files or path in self._folders:
            raise BundleError(f"the bundle has {path!r} twice")
        self._claim(path)
        try:
            digest = self._write(self._root.joinpath(*parts), path, executable, content)
        except OSError as error:
            raise from_os_error(error, f"cannot unpack {path!r}") from error
        self._files[path] = (executable, digest)

    def content_hash(self) -> str:
        """SHA-256 over the sorted (path, executable, content), in hex. A bundle without a file is refused."""
        if not self._files:
            raise BundleError("the bundle is empty")
        total = hashlib.sha256()
        for path in sorted(self._files):
            executable, digest = self._files[path]
            encoded = path.encode()
            total.update(len(encoded).to_bytes(4, "big") + encoded + (b"x" if executable else b"-") + digest)
        return total.hexdigest()

    def _write(self, target: Path, path: str, executable: bool, content: Iterable[bytes]) -> bytes:
        digest = hashlib.sha256()
        size = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(target, flags, 0o500 if executable else 0o400)
        try:
            for piece in content:
                size += len(piece)
                if size > self._limits.file:
                    raise BundleTooLarge(f"{path!r} in the bundle is larger than {self._limits.file} bytes")
                digest.update(piece)
                view = memoryview(piece)
                while view:
                    view = view[os.write(fd, view) :]
        finally:
            os.close(fd)
        return digest.digest()

    def _make_folders(self, parts: tuple[str, ...]) -> None:
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            if path in self._folders:
                continue
            if path in self._files:
                raise BundleError(f"the bundle has {path!r} as a file and as a folder")
            self._claim(path)
            try:
                self._root.joinpath(*parts[:depth]).mkdir(mode=0o700)
            except OSError as error:
                raise from_os_error(error, f"cannot unpack {path!r}") from error
            self._folders.add(path)
            self.count_entry()

    def _claim(self, path: str) -> None:
        # A case-insensitive file system (macOS) would let the second overwrite the first, so nobody may have both.
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
        other = self._seen.setdefault(folded, path)
        if other != path:
            raise BundleError(f"the bundle has {other!r} and {path!r}, which differ in case or composition only")


def _parts(raw: bytes) -> tuple[str, ...]:
    if len(raw) > _LONGEST_PATH:
        raise BundleError(f"the bundle has a name of {len(raw)} bytes; {_LONGEST_PATH} are allowed")
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BundleError(f"the bundle has a name that is not UTF-8: {_show(raw)}") from error
    if name.startswith("/"):
        raise BundleError(f"the bundle has an absolute name: {_show(raw)}")
    if "\\" in name:
        raise BundleError(f"the bundle has a backslash in a name: {_show(raw)}")
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        raise BundleError(f"the bundle has a control character in a name: {_show(raw)}")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise BundleError(f"the bundle has a name that leaves its folder: {_show(raw)}")
    if len(parts) > _DEEPEST:
        raise BundleError(f"the bundle has folders more than {_DEEPEST} deep: {_show(raw)}")
    if any(len(part.encode()) > _LONGEST_PART for part in parts):
        raise BundleError(f"the bundle has a part of a name longer than {_LONGEST_PART} bytes: {_show(raw)}")
    return parts


def _show(raw: bytes) -> str:
    return ascii(raw[:80].decode("utf-8", "backslashreplace"))
