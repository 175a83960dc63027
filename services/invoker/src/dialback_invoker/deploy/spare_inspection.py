"""Inspections by a process that waits for them; see `launchers.spares`."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO

from dialback_invoker.launchers.start import Start


class SpareProcess:
    """A process that a `Start` has started, as the inspector wants it."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: BinaryIO) -> None:
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
        return SpareProcess(await asyncio.shield(starting), os.fdopen(ours, "wb", 0))
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
