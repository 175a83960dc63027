"""Where things lie on disk: the data folder, which lasts, and the run folder, which does not.

    data folder   $XDG_DATA_HOME/dialback, else ~/.local/share/dialback
        dialback.db  bundles/<sha256>/  environments/<key>/  lock  control.token  link.key  secrets.key  identity
    run folder    $XDG_RUNTIME_DIR/dialback-<8 hex>, else /tmp/dialback-<uid>-<8 hex>
        link.sock  receiver.sock  workers/<id>/{runtime.sock,code/,tmp/,pid}  doors/<id>/{door,runtime,receiver}.sock

The eight hex digits come from the data folder's path, so that each data folder has one run folder, found again after a
crash. Both are for their owner alone (0700). A Unix socket's path must fit into 107 bytes (Linux; 103 on macOS), which
is why sockets do not lie in the data folder. Everything that cannot be used is a PathProblem naming the path.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dialback_invoker.errors import DialbackError, DiskFull, PathProblem

BACKLOG: Final = 4096
"""Connections that may wait at a Unix socket until they are accepted; the system cuts it to its ``somaxconn``. With
asyncio's own 100, connecting fails when several hundred invocations end at once.
"""

LONGEST_SOCKET_PATH: Final = 107 if sys.platform == "linux" else 103  # bytes
_LONGEST_INSIDE: Final = "/workers/w_000000000000/runtime.sock"


def from_os_error(error: OSError, what: str) -> DialbackError:
    """An OSError as one of ours: DiskFull when no space is left, PathProblem otherwise. ``what`` could not be done."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"{what}: no space left on the disk")
    return PathProblem(f"{what}: {error.strerror or error}")


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The folder that holds what must last; ``root`` is absolute."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "dialback.db"

    @property
    def bundles(self) -> Path:
        return self.root / "bundles"

    @property
    def environments(self) -> Path:
        return self.root / "environments"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def control_token(self) -> Path:
        return self.root / "control.token"

    @property
    def link_key(self) -> Path:
        return self.root / "link.key"

    @property
    def identity(self) -> Path:
        """Marks what this platform makes at a container engine."""
        return self.root / "identity"

    @property
    def secrets_key(self) -> Path:
        return self.root / "secrets.key"

    def bundle(self, content_hash: str) -> Path:
        """The read-only folder of the bundle with this SHA-256."""
        return self.bundles / content_hash

    def create(self) -> None:
        """Make the folder if it is not there, for the owner alone."""
        _private_folder(self.root)
        _private_folder(self.bundles)
        _private_folder(self.environments)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder that holds sockets and workers' files while the invoker runs; ``root`` is absolute and short."""

    root: Path

    @property
    def link_socket(self) -> Path:
        return self.root / "link.sock"

    @property
    def receiver_socket(self) -> Path:
        return self.root / "receiver.sock"

    @property
    def workers(self) -> Path:
        return self.root / "workers"

    @property
    def doors(self) -> Path:
        """Folders of sockets, one for each container."""
        return self.root / "doors"

    def worker(self, worker_id: str) -> Path:
        """The folder of one worker."""
        return self.workers / worker_id

    def create(self) -> None:
        """Make the folder if it is not there. Refuses one that is a link, another user's, or too long for sockets."""
        longest = len(os.fsencode(self.root)) + len(_LONGEST_INSIDE)
        if longest > LONGEST_SOCKET_PATH:
            raise PathProblem(
                f"the run folder {self.root} is too long: a Unix socket in it would need {longest} bytes, "
                f"{LONGEST_SOCKET_PATH} are allowed; set XDG_RUNTIME_DIR to a shorter folder",
                code="path_too_long",
            )
        _private_folder(self.root)
        _private_folder(self.workers)

    def remove(self) -> None:
        """Remove it with all that is in it; what cannot be removed stays for the next start's sweep."""
        shutil.rmtree(self.root, ignore_errors=True)


def data_folder(chosen: Path | None = None, environ: Mapping[str, str] = os.environ) -> DataFolder:
    """The chosen data folder, or the usual one. Nothing is made on disk."""
    if chosen is None:
        base = environ.get("XDG_DATA_HOME", "")
        chosen = Path(base) / "dialback" if os.path.isabs(base) else Path.home() / ".local/share/dialback"
    return DataFolder(Path(os.path.realpath(chosen.expanduser())))


def run_folder(data: DataFolder, environ: Mapping[str, str] = os.environ) -> RunFolder:
    """The run folder that belongs to ``data``. Nothing is made on disk."""
    digest = hashlib.sha256(os.fsencode(data.root)).hexdigest()[:8]
    base = environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(base) and os.path.isdir(base) and os.access(base, os.W_OK):
        return RunFolder(Path(base) / f"dialback-{digest}")
    return RunFolder(Path("/tmp") / f"dialback-{os.getuid()}-{digest}")


def _private_folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode) or not stat.S_ISDIR(found.st_mode):
            raise PathProblem(f"{path} is not a folder of its own but a link")
        if found.st_uid != os.getuid():
            raise PathProblem(f"{path} belongs to another user (uid {found.st_uid})")
        if stat.S_IMODE(found.st_mode) & 0o077:
            path.chmod(0o700)
    except FileExistsError as error:
        raise PathProblem(f"{path} is there and is not a folder") from error
    except OSError as error:
        raise from_os_error(error, f"the folder {path} cannot be used") from error
