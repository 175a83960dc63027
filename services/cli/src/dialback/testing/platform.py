"""Runs `dialback up` as a child, on free ports and in a folder of its own, and talks to it."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import httpx

from dialback.bundle import pack
from dialback.control_client import ControlClient
from dialback.control_models import LogLine, Trace
from dialback.environment import NewVariable
from dialback.errors import CliError, Refused, StartProblem
from dialback.testing.function import TestedFunction
from dialback.whereabouts import TOKEN_FILE, Whereabouts

READY_SECONDS = 30.0
STOP_SECONDS = 15.0
PAUSE = 0.02
LINES = 10_000

T = TypeVar("T")


class TestPlatform:
    """`start`, then use, then `stop`; also a context manager. `flags` are those of `dialback up`."""

    __test__ = False  # pytest takes classes of such names for tests

    def __init__(self, *flags: str) -> None:
        self.url = ""
        """The public port's address, without a slash at the end."""
        self.control_url = ""
        self._flags = flags
        self._root: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._client: ControlClient | None = None
        self._functions: dict[str, TestedFunction] = {}

    def __enter__(self) -> TestPlatform:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> TestPlatform:
        """Returns when requests are served. StartProblem with its last words when that does not come to be."""
        # Short, because the paths of Unix sockets are.
        self._root = Path(tempfile.mkdtemp(prefix="dbt-", dir="/tmp" if os.path.isdir("/tmp") else None))
        try:
            self._start(self._root)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> int | None:
        """Stop it and remove what it made; its exit code, None when it did not run. Harmless when repeated."""
        for function in self._functions.values():
            function.http.close()
        self._functions.clear()
        if self._client is not None:
            self._client.__exit__(None, None, None)
            self._client = None
        code = None
        if self._process is not None:
            code = _ended(self._process)
            self._process = None
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
            self._root = None
        return code

    # --- functions ----------------------------------------------------------------------------------------------------

    def deploy(
        self,
        source: str | os.PathLike[str],
        name: str | None = None,
        *,
        env: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> TestedFunction:
        """Deploy a folder or a file, its variables set first. CliError names the place of a mistake."""
        with closing(pack(Path(source), name)) as bundle:
            for values, secret in ((env, False), (secrets, True)):
                if values:
                    self.set_env(bundle.name, secret=secret, **values)
            try:
                made = self.control.deploy(bundle, lambda _: None)
            except Refused as refused:
                place = f"{refused.file}:{refused.line}: " if refused.file else ""
                raise CliError(f"{bundle.name} cannot be deployed: {place}{refused.message}") from refused
        known = self._functions.get(made.name)
        if known is None:
            known = self._functions[made.name] = TestedFunction(self, made.name, f"{self.url}/@{made.name}/")
        return known

    def set_env(self, name: str, *, secret: bool = False, **variables: str) -> None:
        """Set variables of a function, which need not be deployed yet."""
        put = {key: NewVariable(value, secret) for key, value in variables.items()}
        self.control.change_variables(name, put, ())

    def remove(self, name: str) -> None:
        """Remove a function."""
        self.control.remove(name)
        function = self._functions.pop(name, None)
        if function is not None:
            function.http.close()

    # --- what happened ------------------------------------------------------------------------------------------------

    @property
    def control(self) -> ControlClient:
        """The control API."""
        if self._client is None:
            raise StartProblem("the platform does not run")
        return self._client

    def trace(self, invocation: str | httpx.Response) -> Trace:
        """How an invocation went, by its id or its response; waits until it is over."""
        name = invocation if isinstance(invocation, str) else invocation.headers["x-dialback-id"]

        def look() -> Trace | None:
            try:
                found = self.control.trace(name)
            except Refused as refused:
                if refused.status != 404:
                    raise
                return None
            return None if found.verdict in (None, "running") else found

        return _until(look, 10.0, f"the invocation {name} is not over")

    def logs(self, name: str) -> list[LogLine]:
        """What a function wrote until now, the oldest first."""
        return list(self.control.logs(name, follow=False, since=None, limit=LINES))

    def wait_for_log(self, name: str, found: str | Callable[[LogLine], bool], seconds: float = 5.0) -> LogLine:
        """The first line of a function that contains this text, or of which this is true. AssertionError."""
        fits = found if callable(found) else lambda line: found in line.line

        def look() -> LogLine | None:
            return next((line for line in self.logs(name) if fits(line)), None)

        return _until(look, seconds, f"{name} did not log {found!r}")

    # --- the child ----------------------------------------------------------------------------------------------------

    def _start(self, root: Path) -> None:
        run, data = root / "run", root / "data"
        run.mkdir(mode=0o700)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("DIALBACK_")}
        log = root / "platform.log"
        ours = ("--port", "0", "--control-port", "0", "--data-dir", str(data), "--json", "--no-access-log")
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dialback.testing.child", str(root), "up", *ours, *self._flags],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=root,
                env={**environ, "XDG_RUNTIME_DIR": str(run)},
                start_new_session=True,
            )
        ready = _ready_line(self._process)
        if ready is None:
            raise StartProblem(f"the platform did not start: {log.read_text(errors='replace').strip()[-2000:]}")
        self.url, self.control_url = str(ready["public_url"]), str(ready["control_url"])
        token = (data / TOKEN_FILE).read_text().strip()
        self._client = ControlClient(Whereabouts(self.control_url, "this platform", token, "this platform"))


def _ready_line(process: subprocess.Popen[bytes]) -> dict[str, object] | None:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], READY_SECONDS)
    line = process.stdout.readline() if readable else b""
    return json.loads(line) if line else None


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Two signals stop it at once; what does not heed them is killed."""
    try:
        for _ in range(2):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    return process.wait(STOP_SECONDS / 3)
                except subprocess.TimeoutExpired:
                    continue
        try:
            return process.wait(STOP_SECONDS / 3)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _until(look: Callable[[], T | None], seconds: float, otherwise: str) -> T:
    deadline = time.monotonic() + seconds
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise AssertionError(f"{otherwise} within {seconds:g} seconds")
        time.sleep(PAUSE)
    return found
