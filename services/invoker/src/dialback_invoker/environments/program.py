"""Runs uv, found where its package put it, with what it may know of our environment, as a group that is killed when it
must end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dialback_invoker.errors import PlatformFailure
from dialback_invoker.read_pipe import read_pipe

OnLine = Callable[[str], None]

_PASSED: Final = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_DATA_HOME"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_CLIENT_CERT", "NETRC", "SSH_AUTH_SOCK", "GIT_SSL_CAINFO"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
        *("CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "PKG_CONFIG_PATH", "CARGO_HOME", "RUSTUP_HOME"),
    }
)
"""What a build may need of the platform's own environment, besides uv's own variables. Nothing else: the build of a
source distribution is the function's code and shall not find the platform's credentials."""
_NOT_PASSED: Final = frozenset(
    {"UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_BREAK_SYSTEM_PACKAGES", "UV_PROJECT", "UV_PROJECT_ENVIRONMENT"}
    | {"UV_WORKING_DIR", "UV_WORKING_DIRECTORY", "UV_CONSTRAINT", "UV_OVERRIDE", "UV_EXCLUDE", "UV_NO_PROGRESS"}
)
"""Variables of uv that would change what is built, or where."""
_MOST_LINES: Final = 400
_MOST_OUTPUT: Final = 16 * 1024 * 1024  # bytes; a long lock, exported, has less than one
_LAST_WORDS: Final = 1.0  # seconds after its end in which what it said is still read: others may hold its pipe
_LONGEST_LINE: Final = 4000


def find_uv() -> str:
    """The path of uv's program. Raises PlatformFailure."""
    try:
        import uv

        return str(uv.find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        raise PlatformFailure(
            "uv is not installed beside Dialback, and functions with dependencies need it: pip install uv",
            code="uv_missing",
        ) from error


def uv_environment(environ: Mapping[str, str], cache: Path) -> dict[str, str]:
    """What uv, and the builds that it runs, find in their environment. ``cache``: for who has no usable cache."""
    passed = {
        name: value
        for name, value in environ.items()
        if name in _PASSED or (name.startswith("UV_") and name not in _NOT_PASSED)
    }
    # As pip does: the system's certificates count, for many networks have one of their own.
    return {
        "UV_SYSTEM_CERTS": "1",
        **({} if _has_cache(environ) else {"UV_CACHE_DIR": str(cache)}),
        **passed,
        "UV_PYTHON_DOWNLOADS": "never",
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "PYTHONUTF8": "1",
    }


def _has_cache(environ: Mapping[str, str]) -> bool:
    """Whether uv's usual cache can be written by us."""
    if environ.get("UV_CACHE_DIR"):
        return True
    base = environ.get("XDG_CACHE_HOME", "")
    folder = Path(base) if os.path.isabs(base) else Path(environ.get("HOME", "/nonexistent")) / ".cache"
    there = next((each for each in (folder / "uv", folder, folder.parent) if each.is_dir()), None)
    return there is not None and os.access(there, os.W_OK | os.X_OK)


@dataclass(frozen=True, slots=True)
class Finished:
    """How a run ended."""

    code: int
    output: bytes
    said: tuple[str, ...]
    """the last lines of its standard error"""


@dataclass(frozen=True, slots=True)
class Program:
    """A program and its environment; every run has a process group of its own."""

    path: str
    environment: Mapping[str, str]

    async def run(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        on_line: OnLine | None = None,
        largest_file: int | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Finished:
        """Run to the end; lines of standard error go to ``on_line`` as they come. Cancelling kills the whole group.

        ``largest_file``: bytes of any one file that it may write. Raises PlatformFailure when it cannot be started.
        """
        said: list[str] = []

        def heard(line: str) -> None:
            del said[: max(0, len(said) - _MOST_LINES + 1)]
            said.append(line)
            if on_line is not None:
                on_line(line)

        with tempfile.TemporaryFile() as output:
            async with _heard(heard) as (write_end, reading):
                try:
                    process = await asyncio.create_subprocess_exec(
                        self.path,
                        *arguments,
                        cwd=cwd,
                        env={**self.environment, **(variables or {})},
                        stdin=asyncio.subprocess.DEVNULL,
                        stdout=output,
                        stderr=write_end,
                        start_new_session=True,
                    )
                except OSError as error:
                    raise PlatformFailure(
                        f"{self.path} cannot be started: {error.strerror or error}", code="cannot_start"
                    ) from error
                finally:
                    os.close(write_end)
                try:
                    if largest_file is not None:
                        _limit_files(process.pid, largest_file)
                    code = await process.wait()
                    await asyncio.wait({reading}, timeout=_LAST_WORDS)
                finally:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(process.pid, signal.SIGKILL)
                    await asyncio.shield(process.wait())
            output.seek(0)
            return Finished(code, output.read(_MOST_OUTPUT), tuple(said))


@asynccontextmanager
async def _heard(heard: OnLine) -> AsyncIterator[tuple[int, asyncio.Task[None]]]:
    """The writing end of a pipe, which the caller closes, and the task that reads the other one.

    Not asyncio's own pipe: with that, waiting for a process waits for whoever else holds the pipe open.
    """
    read_end, write_end = os.pipe()
    reader = asyncio.StreamReader()
    transport = await read_pipe(lambda: asyncio.StreamReaderProtocol(reader), read_end)

    async def read() -> None:
        async for line in _lines(reader):
            heard(line)

    reading = asyncio.create_task(read())
    try:
        yield write_end, reading
    finally:
        reading.cancel()
        await asyncio.wait({reading})
        transport.close()


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Lines as they come; a carriage return ends one too, and nobody can make one grow without end."""
    rest = b""
    while piece := await stream.read(65536):
        *whole, rest = (rest + piece).replace(b"\r", b"\n").split(b"\n")
        for line in whole:
            if line.strip():
                yield _text(line)
        rest = rest[-_LONGEST_LINE:]
    if rest.strip():
        yield _text(rest)


def _text(line: bytes) -> str:
    return line[:_LONGEST_LINE].decode("utf-8", "replace").rstrip()


def _limit_files(pid: int, largest: int) -> None:
    """A courtesy where the system has it; the size of the whole is looked at besides."""
    try:
        import resource

        resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest, largest))
    except (ImportError, AttributeError, OSError, ValueError):  # pragma: no cover - macOS, or a process that is gone
        pass
