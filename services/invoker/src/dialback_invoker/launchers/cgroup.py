"""Control groups: a worker's processes as one thing that the kernel counts, limits and kills.

Two uses, each taken where it is to be had:

- **tracking** (cgroup v2): a worker's group knows all its processes, also those that left session and parent behind;
- **memory**: v2's or v1's memory controller holds the limit.

Groups are made only below our own cgroup, and only where that is ours to divide: it is the root that we can see (a
container), it carries systemd's delegation mark, or the operator named it. A cgroup has one writer: dividing a group
that another manager runs would hide processes from it.

    <base>/dialback-<name>/<worker id>
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

DELEGATION_MARKS = ("trusted.delegate", "user.delegate")
"""Extended attributes that systemd sets to "1" on a cgroup that its unit may divide."""


HOME = "dialback-"
HOME_TRIES = 5
JUST_MADE = 60.0
"""Seconds within which an empty group may be one whose process is about to be moved in."""


@dataclass(frozen=True, slots=True)
class Base:
    """A cgroup below which ours may live."""

    folder: Path
    version: int
    memory: bool
    """Whether a child of it gets a memory limit."""


class Group:
    """One worker's cgroup."""

    def __init__(self, folder: Path, base: Base) -> None:
        self.folder = folder
        self._base = base

    def create(self, memory_bytes: int) -> None:
        """Makes it, and its home when it is not there. OSError when the kernel says no."""
        for _ in range(HOME_TRIES):
            try:
                _prepare_home(self._base)
                self.folder.mkdir()
            except FileNotFoundError:
                continue  # somebody has just found the home empty and removed it
            break
        else:
            raise FileNotFoundError(2, "the cgroup vanishes as soon as it is made", str(self._base.folder))
        if not self._base.memory:
            return
        if self._base.version == 2:
            _write(self.folder / "memory.max", str(memory_bytes))
            _write_if_there(self.folder / "memory.swap.max", "0")
            _write_if_there(self.folder / "memory.oom.group", "1")
        else:
            _write(self.folder / "memory.limit_in_bytes", str(memory_bytes))
            _write_if_there(self.folder / "memory.memsw.limit_in_bytes", str(memory_bytes))

    def add(self, pid: int) -> None:
        """Moves a process in; what it starts later is in as well."""
        _write(self.folder / "cgroup.procs", str(pid))

    def pids(self) -> list[int]:
        """Everybody in it, zombies left out by the kernel when it can."""
        try:
            return [int(line) for line in (self.folder / "cgroup.procs").read_text().split()]
        except OSError:
            return []

    def kill(self) -> None:
        """Kills all at once where the kernel can (v2, Linux 5.14); the caller also kills one by one."""
        _write_if_there(self.folder / "cgroup.kill", "1")

    def oom_kills(self) -> int:
        """How many processes were killed for want of memory."""
        name = "memory.events" if self._base.version == 2 else "memory.oom_control"
        try:
            words = (self.folder / name).read_text().split()
        except OSError:
            return 0
        return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else 0

    def used(self) -> int:
        """Bytes that it holds now, page cache included; 0 when that is not counted here."""
        name = "memory.current" if self._base.version == 2 else "memory.usage_in_bytes"
        try:
            return int((self.folder / name).read_text())
        except (OSError, ValueError):
            return 0

    def remove(self) -> bool:
        """Removes it with what the worker may have made below it; False while somebody lives in it."""
        gone = remove(self.folder)
        remove_empty(self._base.folder)
        return gone


def remove(folder: Path) -> bool:
    """Removes a cgroup and those below it, innermost first. True when it is gone."""
    for inner in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
        remove_empty(inner)
    remove_empty(folder)
    return not folder.exists()


def parse_own(text: str) -> dict[str, str]:
    """`/proc/self/cgroup` as {controller: path}; the v2 hierarchy has the empty name."""
    own = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(","):
            own[name] = path
    return own


def parse_mounts(text: str) -> dict[str, Path]:
    """`/proc/self/mountinfo` as {controller: mount point}; "" for v2."""
    mounts: dict[str, Path] = {}
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        point = Path(left.split(" ")[4].encode().decode("unicode_escape"))
        if kind == "cgroup2":
            mounts.setdefault("", point)
        elif kind == "cgroup" and "memory" in options.split(" ")[-1].split(","):
            mounts.setdefault("memory", point)
    return mounts


def find_base(
    named: Path | None = None,
    own: Path = Path("/proc/self/cgroup"),
    mountinfo: Path = Path("/proc/self/mountinfo"),
) -> Base | None:
    """The best cgroup that is ours to divide: one with memory before one that only tracks; None: no cgroups for us."""
    if named is not None:
        return _usable(named, 1 if (named / "memory.limit_in_bytes").exists() else 2)
    try:
        paths, mounts = parse_own(own.read_text()), parse_mounts(mountinfo.read_text())
    except (OSError, ValueError):
        return None
    found = [
        base
        for name, version in (("", 2), ("memory", 1))
        if name in paths and name in mounts
        if (base := _usable(mounts[name] / paths[name].lstrip("/"), version)) is not None
        if paths[name] == "/" or _delegated(base.folder)
    ]
    return next(iter(sorted(found, key=lambda base: not base.memory)), None)


def _usable(folder: Path, version: int) -> Base | None:
    if not os.access(folder / "cgroup.procs", os.W_OK) or not os.access(folder, os.W_OK):
        return None
    if version == 1:
        return Base(folder, 1, (folder / "memory.limit_in_bytes").exists())
    return Base(folder, 2, _enable_memory(folder))


def _enable_memory(folder: Path) -> bool:
    """Whether groups below ``folder`` have a memory controller. v2 gives it only where no process lives in
    ``folder`` itself.
    """
    try:
        if "memory" not in (folder / "cgroup.controllers").read_text().split():
            return False
        control = folder / "cgroup.subtree_control"
        if "memory" not in control.read_text().split():
            _write(control, "+memory")
    except OSError:
        return False
    return True


def _delegated(folder: Path) -> bool:
    for name in DELEGATION_MARKS:
        try:
            if os.getxattr(folder, name) == b"1":
                return True
        except (OSError, AttributeError):
            continue
    return False


def find_home(base: Base, name: str) -> Base | None:
    """Our own group below ``base``, for one group per worker. It exists only while a worker does. None: no."""
    home = Base(base.folder / f"{HOME}{name}", base.version, base.memory)
    try:
        _prepare_home(home)
    except OSError:
        return None
    finally:
        remove_empty(home.folder)
    return home


def _prepare_home(home: Base) -> None:
    home.folder.mkdir(exist_ok=True)
    if home.version == 2 and home.memory:
        _write(home.folder / "cgroup.subtree_control", "+memory")


def sweep_homes(base: Path) -> None:
    """Removes what invokers that were killed left below ``base``: nobody lives there, and has not just moved in."""
    oldest = time.time() - JUST_MADE
    for home in base.glob(f"{HOME}*"):
        try:
            groups = [p for p in home.iterdir() if p.is_dir() and p.stat().st_mtime < oldest]
        except OSError:
            continue  # its owner removes it at this moment
        for group in groups:
            remove(group)
        remove_empty(home)


def _write(path: Path, text: str) -> None:
    """Writes without creating: a control file that is not there is an error, not a new file."""
    handle = os.open(path, os.O_WRONLY | os.O_TRUNC)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


def _write_if_there(path: Path, text: str) -> None:
    try:
        _write(path, text)
    except OSError:
        pass


def remove_empty(folder: Path) -> None:
    """Removes one cgroup if nothing lives in or below it."""
    try:
        folder.rmdir()
    except OSError:
        pass
