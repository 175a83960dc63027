"""Asks the bridge what a function exports, in a process of its own, because only importing it tells and that runs it.

    python -P -m dialback_bridge inspect --dir DIR [--entry ENTRY]

prints one line of JSON: {"entry": "app:app", "kind": "asgi", "blocks": false} and exit code 0, or {"error": {"code",
"message", "file", "line", "source"}} and exit code 3. What the function itself prints while it is imported comes before
that line.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from dialback_invoker.errors import EntryError, InspectTimeout, LaunchFailed
from dialback_invoker.function_config import FunctionConfig
from dialback_invoker.launchers.base import WorkerPython
from dialback_invoker.launchers.tail import Tail
from dialback_invoker.secrets.book import NOTHING, Surroundings
from dialback_invoker.secrets.redaction import Redactor

KINDS: Final = frozenset({"asgi", "wsgi", "http", "fetch", "lambda"})


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a function is: one of `KINDS`; the ``module:attribute`` that serves; whether it is synchronous."""

    kind: str
    entry: str
    blocks: bool = False


class Input(Protocol):
    """A process's standard input, as `asyncio.StreamWriter` has it."""

    def write(self, data: bytes) -> object: ...

    async def drain(self) -> None: ...


class Process(Protocol):
    """What is wanted of a process that inspects."""

    @property
    def pid(self) -> int: ...

    @property
    def stdin(self) -> Input | None: ...

    async def wait(self) -> int:
        """Its exit status, the negative number of a signal."""


class Inspector(Protocol):
    """Finds out what the function in ``folder`` exports; raises EntryError with the place, InspectTimeout."""

    async def inspect(
        self,
        folder: Path,
        config: FunctionConfig,
        python: WorkerPython | None = None,
        surroundings: Surroundings = NOTHING,
    ) -> Inspected:
        """``python``: the function's own; None: the platform's. ``surroundings``: what was set for the function."""
        ...


class BridgeInspector:
    """Runs the bridge's ``inspect`` in its own process group, without our environment; the group is killed afterwards.

    Both limits are in seconds; ``first_limit`` is for an environment of the function's own, where its packages may be
    compiled meanwhile. ``command`` comes before the arguments; tests pass another. ``begin`` starts a process as
    `asyncio.create_subprocess_exec` does.
    """

    def __init__(
        self,
        time_limit: float = 10.0,
        command: tuple[str, ...] = (sys.executable, "-P", "-m", "dialback_bridge", "inspect"),
        first_limit: float = 60.0,
        begin: Callable[..., Awaitable[Process]] = asyncio.create_subprocess_exec,
    ) -> None:
        self._first_limit = first_limit
        self._time_limit = time_limit
        self._command = command
        self._begin = begin

    async def inspect(
        self,
        folder: Path,
        config: FunctionConfig,
        python: WorkerPython | None = None,
        surroundings: Surroundings = NOTHING,
    ) -> Inspected:
        """As the protocol says; LaunchFailed when no process could be started."""
        # Its standard input is a pipe from us: should we be killed, the import of a hanging function ends too.
        arguments = ["--watch-stdin", "--dir", str(folder)]
        if surroundings.secrets:
            arguments += ["--secrets"]
        if config.entry is not None:
            arguments += ["--entry", config.entry]
        redact = Redactor()
        redact.know(surroundings.secrets)
        out, err = _Pipe(), _Pipe()
        try:
            command = [*(self._command if python is None else _command(python)), *arguments]
            limit = self._time_limit if python is None else self._first_limit
            env = environment(folder, {**config.env, **surroundings.plain})
            code = await self._run(command, folder, env, surroundings.secrets, limit, out, err)
            return verdict(code, out.text(), err.text(), redact)
        finally:
            out.close()
            err.close()

    async def _run(
        self,
        command: Sequence[str],
        folder: Path,
        env: Mapping[str, str],
        secrets: Mapping[str, str],
        limit: float,
        out: _Pipe,
        err: _Pipe,
    ) -> int:
        try:
            process = await self._begin(
                *command,
                cwd=folder,
                env=env,
                stdin=asyncio.subprocess.PIPE,
                stdout=out.write_end,
                stderr=err.write_end,
                start_new_session=True,
            )
        except OSError as error:
            raise LaunchFailed(f"the bridge cannot be started to inspect the function: {error.strerror}") from error
        try:
            async with asyncio.timeout(limit):
                if secrets and process.stdin is not None:
                    await _hand_over(process.stdin, secrets)
                return await process.wait()
        except TimeoutError as error:
            raise InspectTimeout(f"importing the function took longer than {limit:g} seconds") from error
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(process.wait())


def _command(python: WorkerPython) -> tuple[str, ...]:
    """In the function's environment, and what is compiled for it stays: the first worker starts the faster."""
    return (str(python.executable), "-s", str(python.bridge), "inspect", "--bytecode")


async def _hand_over(stdin: Input, secrets: Mapping[str, str]) -> None:
    """The first line of standard input. Who died before reading it is found out by its exit."""
    stdin.write(json.dumps(dict(secrets)).encode() + b"\n")
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        await stdin.drain()


class _Pipe:
    """A pipe for the process to write to, and the end of what it wrote: the answer stands there."""

    def __init__(self) -> None:
        self._read_end, self.write_end = os.pipe()
        self._tail = Tail(self._read_end)

    def text(self) -> bytes:
        """What is there by now."""
        return self._tail.text()

    def close(self) -> None:
        self._tail.close()
        os.close(self._read_end)
        os.close(self.write_end)


def environment(folder: Path, env: Mapping[str, str]) -> dict[str, str]:
    """What the inspection finds in its environment, of which `env` is the function's own part."""
    usual = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
    }
    return {**usual, **env}


def verdict(code: int, out: bytes, err: bytes, redact: Callable[[str], str]) -> Inspected:
    """What the end of an inspection says: a negative ``code`` is a signal. Raises EntryError."""
    answer = _last_json(out)
    error = answer.get("error")
    if code == 3 and isinstance(error, dict):
        line = error.get("line")
        raise EntryError(
            redact(str(error.get("message") or "cannot be imported"))[:2000],
            code=_text(error.get("code")) or "import_failed",
            file=_text(error.get("file")),
            line=line if isinstance(line, int) else None,
            source=_text(error.get("source")),
        )
    kind, entry = answer.get("kind"), answer.get("entry")
    if code == 0 and kind in KINDS and isinstance(entry, str):
        return Inspected(kind, entry, answer.get("blocks") is True)
    end = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    last = redact(err.decode("utf-8", "replace").strip().rpartition("\n")[2])[:500]
    said = f"; its last words: {last}" if last else ""
    raise EntryError(f"importing the function {end}{said}", code="import_failed")


def _last_json(out: bytes) -> dict[str, Any]:
    for line in reversed(out.splitlines()):
        with contextlib.suppress(ValueError, RecursionError):
            answer = json.loads(line)
            if isinstance(answer, dict):
                return answer
    return {}


def _text(value: object) -> str | None:
    return value[:500] if isinstance(value, str) else None
