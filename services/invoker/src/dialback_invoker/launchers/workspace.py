"""A worker's private folder: `workers/<id>/{runtime.sock,code/,tmp/,pid}` in the run folder, mode 0700.

All of it is file work that blocks: call it in a thread.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dialback_invoker.launchers import proc


def workers_folder(run_dir: Path) -> Path:
    """Where all workers' folders are."""
    return run_dir / "workers"


def make(folder: Path) -> None:
    """Makes the folder, empty and private. FileExistsError when the id was used before."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)
    (folder / "tmp").mkdir(mode=0o700)


def copy_code(bundle: Path, folder: Path) -> Path:
    """The worker's own copy of the code, writable though the bundle is not. Links are copied as links, never
    followed.
    """
    code = folder / "code"
    shutil.copytree(bundle, code, symlinks=True, copy_function=_copy, dirs_exist_ok=True)
    for place, _, _ in os.walk(code):
        os.chmod(place, 0o700)
    return code


def _copy(source: str, target: str) -> None:
    shutil.copyfile(source, target, follow_symlinks=False)
    if not os.path.islink(target):
        executable = os.stat(source).st_mode & stat.S_IXUSR
        os.chmod(target, 0o700 if executable else 0o600)


@dataclass(frozen=True, slots=True)
class PidFile:
    """What finds a worker again after a crash of the platform."""

    pid: int
    start: int
    """Clock ticks since boot, see `proc.Process.start`: tells the worker from a later process with its pid."""
    boot: str
    cgroup: str

    def write(self, folder: Path) -> None:
        """Whole or not at all."""
        value = {"pid": self.pid, "start": self.start, "boot": self.boot, "cgroup": self.cgroup}
        draft = folder / "pid.new"
        draft.write_text(json.dumps(value))
        draft.replace(folder / "pid")

    @classmethod
    def read(cls, folder: Path) -> PidFile | None:
        """None when there is none or it makes no sense."""
        try:
            value = json.loads((folder / "pid").read_text())
            return cls(int(value["pid"]), int(value["start"]), str(value["boot"]), str(value["cgroup"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @classmethod
    def of(cls, pid: int, cgroup: Path | None) -> PidFile:
        """For a process that runs now."""
        process = proc.look(pid)
        return cls(pid, process.start if process else 0, boot_id(), str(cgroup or ""))


def boot_id() -> str:
    """Names this boot of the machine; empty where there is no such thing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def remove(folder: Path) -> bool:
    """Removes it whatever the function did to its modes. True when it is gone."""

    def unlock(action: Callable[..., object], path: str, _: object) -> None:
        try:
            os.chmod(os.path.dirname(path), 0o700)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
            if action in (os.unlink, os.rmdir):
                action(path)
            elif os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            pass

    shutil.rmtree(folder, onerror=unlock)
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
