"""Packs a function for upload: the same files always make the same bytes, so that an unchanged deploy is seen as one.

A folder, or a single Python file, becomes a gzipped tar of regular files and nothing else: names are
sorted, times, owners and permissions are fixed. A symbolic link to something inside the folder is packed as what it
points to; one that leaves the folder is refused, since it would carry files that nobody meant to publish.
An archive (.zip, .tar.gz, .tgz) is sent as it is.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dialback.errors import CliError, UsageProblem
from dialback.ignore import IGNORE_NAME, Ignore
from dialback.names import check_name, clean_name
from dialback.terminal import size
from dialback.toml_file import TomlFile

MOST_BYTES = 250 * 1024 * 1024
"""Of all files together, as on AWS Lambda."""
MOST_FILES = 20_000
IN_MEMORY = 8 * 1024 * 1024
EPOCH = 315532800
"""1980-01-01: the oldest time that every archive format can say."""
CONFIG_NAME = "dialback.toml"
ENTRY_STEMS = frozenset(
    {"__init__", "app", "application", "asgi", "function", "handler", "index", "lambda_function", "main", "wsgi"}
)
"""A single file that is called so says what it is and not what it does: its folder says that."""
ARCHIVES = {".zip": "application/zip", ".tar.gz": "application/gzip", ".tgz": "application/gzip"}


@dataclass(frozen=True, slots=True)
class Member:
    """One file that goes in: its name in the bundle, where it is, its size in bytes, and whether it can be run."""

    name: str
    path: Path
    size: int
    executable: bool


@dataclass(frozen=True, slots=True)
class Bundle:
    """What is uploaded. `body` is at its beginning; whoever made the bundle closes it."""

    name: str
    source: Path
    media_type: str
    body: IO[bytes]
    length: int
    files: int

    def close(self) -> None:
        self.body.close()


def pack(source: Path, name: str | None = None, *, packed: Callable[[int], None] | None = None) -> Bundle:
    """The bundle of a folder, a file or an archive.

    `name` overrides the name found in `dialback.toml` or made from the path. `packed` is called with bytes as they
    are read. UsageProblem: there is nothing to pack, or something that must not be; OSError: a file cannot be read.
    """
    if not source.exists():
        raise UsageProblem(f"{source}: there is no such file or folder")
    called = check_name(name, "--name") if name is not None else default_name(source)
    kind = _archive_type(source)
    if kind is not None:
        return Bundle(called, source, kind, source.open("rb"), source.stat().st_size, 1)
    members = tuple(_folder_members(source) if source.is_dir() else _single(source))
    _check(source, members)
    body = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - the bundle owns it
    try:
        _write(body, members, packed or _unheard)
    except BaseException:
        body.close()
        raise
    length = body.tell()
    body.seek(0)
    return Bundle(called, source, "application/gzip", body, length, len(members))


def _unheard(_count: int) -> None:
    """Nobody wants to know how far it is."""


def default_name(source: Path) -> str:
    """`name` of the folder's `dialback.toml`, else the folder's or file's own, cleaned to the grammar of names; of a
    file that is called like every entry (`app.py`) its folder's.
    """
    config = source / CONFIG_NAME
    if source.is_dir() and config.is_file():
        file = TomlFile.read(config)
        name = file.values.get("name")
        if name is not None:
            if not isinstance(name, str):
                raise file.problem("name", "name: it must be text")
            try:
                return check_name(name)
            except UsageProblem as wrong:
                raise file.problem("name", f"name: {wrong.message}", wrong.hint) from None
    stem = source.absolute().name if source.name not in ("", "..") else source.resolve().name
    for suffix in ARCHIVES:
        stem = stem.removesuffix(suffix)
    if source.is_dir():
        return clean_name(stem)
    stem = stem.removesuffix(Path(stem).suffix) or stem
    folder = source.absolute().parent.name
    return clean_name(folder if folder and stem.lower() in ENTRY_STEMS else stem)


def _archive_type(source: Path) -> str | None:
    if source.is_dir():
        return None
    return next((kind for suffix, kind in ARCHIVES.items() if source.name.lower().endswith(suffix)), None)


def _single(source: Path) -> Iterator[Member]:
    if not source.is_file():
        raise UsageProblem(f"{source} is neither a file nor a folder")
    if source.suffix != ".py":
        raise UsageProblem(
            f"{source} is no Python file",
            hint=f"deploy a folder, a .py file or an archive ({', '.join(ARCHIVES)})",
        )
    # The file is imported, so its name must be one that a module can have.
    module = re.sub(r"\W", "_", source.stem, flags=re.ASCII)
    yield _member(f"{module if module.isidentifier() else '_' + module}.py", source)


def _folder_members(folder: Path) -> Iterator[Member]:
    root = folder.resolve()
    ignore = Ignore.of(root)
    pending: list[tuple[Path, str, tuple[Path, ...]]] = [(root, "", (root,))]
    while pending:
        place, prefix, above = pending.pop()
        for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
            name = prefix + entry.name
            path = place / entry.name
            is_folder = entry.is_dir()
            if ignore.leaves_out(name, is_folder):
                continue
            if entry.is_symlink():
                _check_link(path, name, root)
            if is_folder:
                real = path.resolve()
                if real in above:
                    raise UsageProblem(f"{path} is a link to a folder that it is in", hint=_leave_out(name))
                pending.append((path, name + "/", (*above, real)))
            elif entry.is_file():
                yield _member(name, path)
            else:
                raise UsageProblem(f"{path} is neither a file nor a folder", hint=_leave_out(name))


def _check_link(path: Path, name: str, root: Path) -> None:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise UsageProblem(f"{path} is a link to nothing", hint=_leave_out(name)) from None
    if not target.is_relative_to(root):
        raise UsageProblem(
            f"{path} is a link that leaves the folder: it points to {target}",
            hint=f"copy what it points to, or {_leave_out(name)}",
        )


def _leave_out(name: str) -> str:
    return f"a line `{name}` in {IGNORE_NAME} leaves it out"


def _member(name: str, path: Path) -> Member:
    if not name.isprintable() or "\\" in name:
        raise UsageProblem(f"{path}: a bundle cannot hold this name", hint="rename it, or leave it out")
    found = path.stat()
    return Member(name, path, found.st_size, bool(found.st_mode & stat.S_IXUSR))


def _check(source: Path, members: tuple[Member, ...]) -> None:
    if not members:
        raise UsageProblem(f"{source} holds no files to deploy")
    if len(members) > MOST_FILES:
        raise UsageProblem(
            f"{source} holds {len(members):,} files, more than the {MOST_FILES:,} that a bundle may have",
            hint=f"list what the function does not need in {IGNORE_NAME}",
        )
    total = sum(member.size for member in members)
    if total > MOST_BYTES:
        largest = sorted(members, key=lambda member: -member.size)[:3]
        listed = ", ".join(f"{member.name} ({size(member.size)})" for member in largest)
        raise UsageProblem(
            f"{source} is {size(total)}, more than the {size(MOST_BYTES)} that a bundle may have; largest: {listed}",
            hint=f"list what the function does not need in {IGNORE_NAME}",
        )
    seen: dict[str, str] = {}
    for member in members:
        other = seen.setdefault(member.name.casefold(), member.name)
        if other != member.name:
            raise UsageProblem(f"{source}: {other} and {member.name} differ only in case", hint="rename one of them")


def _write(body: IO[bytes], members: tuple[Member, ...], packed: Callable[[int], None]) -> None:
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=body, mtime=0) as packer,
        tarfile.open(fileobj=packer, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for member in sorted(members, key=lambda member: member.name):
            entry = tarfile.TarInfo(member.name)
            entry.mtime = EPOCH
            entry.mode = 0o755 if member.executable else 0o644
            content = member.path.read_bytes()
            if len(content) != member.size:
                raise CliError(f"{member.path} changed while it was packed", hint="try again")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
            packed(len(content))
