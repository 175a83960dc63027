"""From a save to the version that serves, or to what is wrong with it: pack, deploy, start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from dialback.bundle import pack
from dialback.control_client import ControlClient
from dialback.dev.problem import Problem, of_save, of_start
from dialback.errors import CliError
from dialback_invoker.rollout import Rollout

TRIES = 3
"""Times that a folder is packed which changes meanwhile."""
PAUSE = 0.03
"""Seconds between them."""


@dataclass(frozen=True, slots=True)
class Save:
    """A burst of changes; `at` is the loop's time when it was noticed."""

    files: tuple[str, ...]
    at: float


@dataclass(frozen=True, slots=True)
class Result:
    """How a save ended. `version` serves now; with a problem it is the one that goes on, empty when there is none."""

    save: Save
    version: str
    seconds: float
    problem: Problem | None = None
    unchanged: bool = False


class Redeploy:
    """Brings saves to life, one after another. A later save takes the place of one that is still starting."""

    def __init__(
        self,
        source: Path,
        root: Path,
        name: str,
        client: ControlClient,
        rollout: Rollout,
        tell: Callable[[Result], None],
        installing: Callable[[str], None],
    ) -> None:
        """`installing` is told what the installation of dependencies says, from a thread."""
        self._source = source
        self._root = root
        self._name = name
        self._client = client
        self._rollout = rollout
        self._tell = tell
        self._installing = installing
        self._starts: set[asyncio.Task[None]] = set()
        self._broken = False

    async def take(self, save: Save) -> None:
        """Deploy what the folder holds now. Returns when it is deployed; that it serves is told later."""
        try:
            unchanged = await asyncio.to_thread(self._deploy)
        except (CliError, OSError) as error:
            said = error if isinstance(error, CliError) else CliError(f"{error.filename}: {error.strerror or error}")
            self._broken = True
            self._say(save, of_save(said, self._root))
            return
        start = asyncio.get_running_loop().create_task(self._start(save, unchanged))
        self._starts.add(start)
        start.add_done_callback(self._starts.discard)

    async def close(self) -> None:
        """Tell nothing any more."""
        for start in self._starts:
            start.cancel()
        await asyncio.gather(*self._starts, return_exceptions=True)

    @property
    def version(self) -> str:
        """The deployment that serves; empty while there is none."""
        serving = self._rollout.serving(self._name)
        return "" if serving is None else serving.id

    def _deploy(self) -> bool:
        """For a thread: whether nothing changed."""
        for tried in range(TRIES):
            try:
                with closing(pack(self._source, self._name)) as bundle:
                    return self._client.deploy(bundle, _unheard, self._installation).unchanged
            except (CliError, FileNotFoundError) as error:
                moving = isinstance(error, FileNotFoundError) or "changed while it was packed" in str(error)
                if not moving or tried == TRIES - 1:
                    raise
            time.sleep(PAUSE)
        raise AssertionError("the last try returned or raised")

    def _installation(self, line: str | None) -> None:
        if line is not None and line.strip():
            self._installing(line.strip())

    async def _start(self, save: Save, unchanged: bool) -> None:
        before = self.version
        error = await self._rollout.settle(self._name)
        if error is not None and error.code == "superseded":
            return
        problem = None if error is None else of_start(error, self._root)
        same = unchanged and before == self.version and problem is None and not self._broken
        self._broken = problem is not None
        self._say(save, problem, unchanged=same)

    def _say(self, save: Save, problem: Problem | None, *, unchanged: bool = False) -> None:
        seconds = asyncio.get_running_loop().time() - save.at
        self._tell(Result(save, self.version, seconds, problem, unchanged))


def _unheard(_count: int) -> None:
    """An upload to ourselves needs no progress."""
