"""Bundles on disk: unpacked in a staging folder beside their place, then renamed to their content hash in one step."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Final

from dialback_invoker.deploy.tar_bundle import unpack_tar_gz
from dialback_invoker.deploy.tree import BundleLimits, Tree
from dialback_invoker.deploy.zip_bundle import unpack_zip
from dialback_invoker.errors import BundleError, BundleTooLarge
from dialback_invoker.paths import from_os_error

_STAGING: Final = ".staging-"
_CONTENT_HASH = re.compile(r"[0-9a-f]{64}")


def unpack(bundle: Path, target: Path, limits: BundleLimits) -> str:
    """Unpack the tar.gz or zip at ``bundle`` into the new folder ``target``; returns the content hash. Blocks.

    Which of the two it is, its first bytes say. On an error ``target`` is gone again.
    """
    try:
        with bundle.open("rb") as file:
            if file.seek(0, 2) > limits.packed:
                raise BundleTooLarge(f"the bundle is larger than {limits.packed} bytes")
            file.seek(0)
            magic = file.read(4)
            file.seek(0)
            tree = Tree(target, limits)
            if magic[:2] == b"\x1f\x8b":
                unpack_tar_gz(file, tree)
            elif magic in (b"PK\x03\x04", b"PK\x05\x06"):
                unpack_zip(file, tree)
            else:
                raise BundleError("the bundle is neither a tar.gz nor a zip file")
            return tree.content_hash()
    except BaseException as error:
        shutil.rmtree(target, ignore_errors=True)
        if isinstance(error, OSError):
            raise from_os_error(error, "cannot unpack the bundle") from error
        raise


def staging_folder(bundles: Path) -> Path:
    """A name, not yet on disk, for a folder in which a bundle is made ready; swept at the next start if it stays."""
    return bundles / f"{_STAGING}{secrets.token_hex(8)}"


def settle(staging: Path, bundles: Path, content_hash: str) -> bool:
    """Rename ``staging`` to its content hash; False if that bundle is there already, and ``staging`` is gone then."""
    target = bundles / content_hash
    if target.is_dir():
        shutil.rmtree(staging, ignore_errors=True)
        return False
    try:
        staging.rename(target)
        _sync(bundles)
    except OSError as error:
        raise from_os_error(error, f"cannot keep the bundle as {target}") from error
    return True


def sweep(bundles: Path, in_use: Collection[str]) -> list[str]:
    """At start: remove staging folders that a crash left, and bundles that no deployment uses; returns their names.
    Blocks.
    """
    removed = []
    for path in sorted(bundles.iterdir()):
        if path.name.startswith(_STAGING):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            removed.append(path.name)
    return removed + remove_unused(bundles, in_use)


def remove_unused(bundles: Path, in_use: Collection[str]) -> list[str]:
    """Remove bundles that are not ``in_use``; returns their names. What is being unpacked is left alone. Blocks."""
    removed = []
    for path in sorted(bundles.iterdir()):
        if _CONTENT_HASH.fullmatch(path.name) and path.name not in in_use:
            # Renamed first: what is half removed must never pass for a bundle.
            gone = path.rename(staging_folder(bundles))
            shutil.rmtree(gone, ignore_errors=True)
            removed.append(path.name)
    return removed


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder of files and folders to the new folder ``target``; stops at the first OSError. Blocks."""
    for folder, _, files in os.walk(source):
        there = target / os.path.relpath(folder, source)
        there.mkdir()
        for name in files:
            shutil.copy(os.path.join(folder, name), there / name)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
