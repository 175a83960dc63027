"""Importing a function in advance of its workers: allowed where it leaves nothing that a fork would break or share.

Threads do not survive a fork. A socket, a pipe, an event loop or a file that is open would be the same one in every
worker, position and all, and a process that was started would be no worker's child.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from . import handlers
from .discovery import find_entry
from .entry import EntryError

_HARMLESS = ("/dev/null", "/dev/urandom", "/dev/random", "/dev/zero")
"""Files that have no position."""
_NAMES = {"socket": "a socket", "pipe": "a pipe", "anon_inode": "an event loop"}


class Unfit(Exception):
    """Workers have to import the function themselves. Says why, as the end of "its import"."""


class Failed(Unfit):
    """The import raised. Workers say so."""


def preload(folder: Path, entry: str | None, kind: str | None, *, insists: bool = False) -> None:
    """Import the function in `folder`, and what serves its style. Raises Unfit.

    `insists`: its author vouches for what it leaves open and writes; threads and processes are out of the question all
    the same.
    """
    before, files = _open_files(), _files(folder)
    try:
        found = find_entry(folder, entry, kind)
    except EntryError as error:
        raise Failed(f"failed: {error}") from None
    handlers.load(found.kind)
    _look_for_company()
    if insists:
        return
    for handle, target in _open_files().items():
        if before.get(handle) != target and target not in _HARMLESS:
            raise Unfit(f"leaves {_NAMES.get(target.partition(':')[0], target)} open")
    changed = sorted(_files(folder) ^ files)
    if changed:
        raise Unfit(f"writes {os.path.relpath(changed[0][0], folder)}")


def _look_for_company() -> None:
    if len(os.listdir("/proc/self/task")) > 1:
        names = sorted(thread.name for thread in threading.enumerate() if thread is not threading.main_thread())
        raise Unfit(f"starts a thread{f' ({names[0]})' if names else ''}")
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return
    raise Unfit("starts a process")


def _open_files() -> dict[str, str]:
    """What each descriptor leads to."""
    found = {}
    for handle in os.listdir("/proc/self/fd"):
        try:
            found[handle] = os.readlink(f"/proc/self/fd/{handle}")
        except OSError:
            continue  # the listing's own
    return found


def _files(folder: Path) -> set[tuple[str, int, int]]:
    """Every file of the code and of its folder for temporary ones, compiled modules left out."""
    found = set()
    for root in (folder, folder.parent / "tmp"):
        for place, folders, names in os.walk(root):
            folders[:] = [name for name in folders if name != "__pycache__"]
            for name in names:
                path = os.path.join(place, name)
                try:
                    about = os.lstat(path)
                except OSError:
                    continue
                found.add((path, about.st_size, about.st_mtime_ns))
    return found
