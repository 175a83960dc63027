"""One invoker per data folder: an advisory lock (flock) that the kernel gives up when its holder dies, however it dies.

The file holds the pid of the holder, for the message to whoever comes second. It is never removed: removing a lock file
lets two processes hold locks on two files of the same name.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from dialback_invoker.errors import DataFolderBusy
from dialback_invoker.paths import from_os_error


class DataFolderLock:
    """Holds the lock from construction to `release`; raises DataFolderBusy, naming the holder's pid, if it is taken."""

    def __init__(self, path: Path) -> None:
        try:
            # Not inheritable, as all of Python's descriptors: a worker that outlives us must not hold our lock.
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise from_os_error(error, f"the lock {path} cannot be opened") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            by = f" by the process {holder}" if holder.isdigit() else ""
            raise DataFolderBusy(
                f"the data folder {path.parent} is in use{by}; stop it, or choose another with --data-dir"
            ) from error
        except OSError as error:
            os.close(self._fd)
            raise from_os_error(error, f"{path} cannot be locked") from error
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            pass  # a full disk: the pid is only a courtesy, the lock is held all the same

    def release(self) -> None:
        """Give the lock up; harmless when repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> DataFolderLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
