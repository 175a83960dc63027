"""Forks of a process that waits, and what a fork must not share with its like.

Whoever forks here runs no thread and no event loop, and does so in its main thread.
"""

from __future__ import annotations

import os
import sys

PID_BYTES = 12
"""Length of a process's number where it is told: padded, so that it goes through a pipe as one."""


def pid_record(pid: int) -> bytes:
    """A number as it goes through a pipe."""
    return b"%*d\n" % (PID_BYTES - 1, pid)


def fork(*, detached: bool = False, births: int | None = None) -> int:
    """A process in a session of its own; its number, or 0 in it. Raises OSError.

    `detached`: it is no child of ours but of the next subreaper above us. `births`: a pipe that it tells its number
    before anything else happens to it.
    """
    read, write = os.pipe()
    try:
        child = os.fork()
    except OSError:
        os.close(read)
        os.close(write)
        raise
    if child == 0:
        try:
            os.close(read)
            if detached and os.fork():
                os._exit(0)
            os.setsid()
            record = pid_record(os.getpid())
            if births is not None:
                os.write(births, record)
            os.write(write, record)
            os.close(write)
        except BaseException:
            os._exit(1)
        return 0
    os.close(write)
    with os.fdopen(read, "rb") as told:
        record = told.read(PID_BYTES)
    if detached or not record:
        os.waitpid(child, 0)
    if not record:
        raise OSError("a process that was forked ended at once")
    return int(record)


def reseed() -> None:
    """Random numbers that differ from those of the other forks. Python's own `random` sees to itself, so does ssl."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def rename(old: str, new: str) -> None:
    """Give this process's entry in `/proc` the folder that it has now: the environment there is what finds it after a
    crash of the platform, and it is still that of the process that forked.

    `old` and `new` are names of one length, of which the environment has the first. A process that is closed
    (`seclusion`) shows nothing there, and stays so.
    """
    ours, theirs = old.encode(), new.encode()
    if len(ours) != len(theirs):
        return
    try:
        with open("/proc/self/stat", "rb") as file:
            # proc(5): "pid (comm) state ..."; env_start and env_end are the fields 50 and 51.
            fields = file.read().rpartition(b")")[2].split()
        begin, end = int(fields[47]), int(fields[48])
        memory = os.open("/proc/self/mem", os.O_RDWR | os.O_CLOEXEC)
    except (OSError, ValueError, IndexError):
        return
    try:
        shown = os.pread(memory, end - begin, begin)
        os.pwrite(memory, shown.replace(ours, theirs), begin)
    except OSError:
        pass
    finally:
        os.close(memory)
