"""Inspections by a process that waits for them; see `launchers.spares`."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from dialback_invoker.launchers.start import Start


class PipeInput:
    """The writing end of a pipe; what is written goes out in a thread, for the other side may not read yet."""

    def __init__(self, handle: int) -> None:
        self._pipe = os.fdopen(handle, "wb", 0)
        self._left = b""

    def write(self, data: bytes) -> None:
        """`data` goes out with the next `drain`."""
        self._left += data

    async def drain(self) -> None:
        """Return when everything is in the pipe. Raises BrokenPipeError."""
        data, self._left = self._left, b""
        await asyncio.to_thread(self._out, data)

    def close(self) -> None:
        """The other side finds the end. Any number of times."""
        self._pipe.close()

    def _out(self, data: bytes) -> None:
        while data:
            data = data[self._pipe.write(data) :]


class SpareProcess:
    """A process that a `Start` has started, as the inspector wants it."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: PipeInput) -> None:
        self._process = process
        self.stdin = stdin
        """Open as long as we live: the bridge ends at its end."""

    @property
    def pid(self) -> int:
        """Also its group's number."""
        return self._process.pid

    async def wait(self) -> int:
        """Its exit status."""
        code = await asyncio.to_thread(self._process.wait)
        self.stdin.close()
        return code


async def begin(
    start: Start,
    *command: str,
    cwd: Path,
    env: Mapping[str, str],
    stdin: int,
    stdout: int,
    stderr: int,
    start_new_session: bool,
) -> SpareProcess:
    """As `asyncio.create_subprocess_exec`, for a standard input that is a pipe. Raises OSError."""
    assert stdin == subprocess.PIPE
    assert start_new_session
    theirs, ours = os.pipe()
    job = partial(start, command, cwd=cwd, env=env, stdin=theirs, stdout=stdout, stderr=stderr)
    starting = asyncio.ensure_future(asyncio.to_thread(job))
    try:
        return SpareProcess(await asyncio.shield(starting), PipeInput(ours))
    except asyncio.CancelledError:
        # Nobody wants the process that a thread is starting.
        os.close(ours)
        await asyncio.wait([starting])
        if starting.exception() is None:
            starting.result().kill()
            await asyncio.to_thread(starting.result().wait)
        raise
    except OSError:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
