"""All environments of a data folder: found by their key, built once however many ask, kept while somebody needs them.

    environments/<key>/          complete, read by workers, never changed
    environments/bridge-<hash>/  the bridge's code, which workers with an environment run
    environments/.staging-*/     builds under way; swept at start

A key is a hash over the requirements, the interpreter and the machine, so equal functions share an environment, and a
deploy that changed code alone finds its environment by reading a file.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import sysconfig
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

from dialback_invoker.environments import bridge_kit
from dialback_invoker.environments.builder import Builder, BuildLimits, Order, Tell, sweep
from dialback_invoker.environments.environment import Environment, read_environment
from dialback_invoker.environments.interpreters import (
    Interpreter,
    Wish,
    choose,
    own_interpreter,
    read_list,
    search_path,
)
from dialback_invoker.environments.program import Program, find_uv, uv_environment
from dialback_invoker.environments.requirements import Requirements, find_requirements
from dialback_invoker.errors import PlatformFailure
from dialback_invoker.function_config import FunctionConfig
from dialback_invoker.launchers.base import WorkerPython
from dialback_invoker.paths import from_os_error

_STAGING: Final = ".staging-"
_KEY = re.compile(r"[0-9a-f]{32}")
_FORMAT: Final = 1  # of what is built; a change builds every environment anew


class Environments:
    """The environments below ``folder``. All calls come on the event loop's thread."""

    def __init__(
        self,
        folder: Path,
        *,
        limits: BuildLimits | None = None,
        environ: Mapping[str, str] = os.environ,
        own: Interpreter | None = None,
        uv: Callable[[], str] = find_uv,
    ) -> None:
        self.folder = folder
        self._limits = limits or BuildLimits()
        self._environ = environ
        self._own = own or own_interpreter()
        self._find_uv = uv
        self.elsewhere: Callable[[Path, FunctionConfig, Tell], AbstractAsyncContextManager[bool]] = _nowhere
        """Is asked first: provides what functions need that run where these environments cannot be seen."""
        self._known: dict[str, Environment] = {}
        self._chosen: dict[Wish, Interpreter] = {}
        self._builds: dict[str, _Build] = {}
        self._held: Counter[str] = Counter()
        self._bridge: Path | None = None

    async def open(self) -> None:
        """Read what is there and sweep what a crash left. Once, before anything else."""

        def work() -> tuple[dict[str, Environment], Path]:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            known = {}
            for path in self.folder.iterdir():
                if path.name.startswith(_STAGING):
                    sweep(path)
                elif _KEY.fullmatch(path.name) and (found := read_environment(path)) is not None:
                    known[path.name] = found
            return known, bridge_kit.bridge_folder(self.folder)

        try:
            self._known, self._bridge = await asyncio.to_thread(work)
        except OSError as error:
            raise from_os_error(error, f"{self.folder} cannot be used") from error

    def of(self, key: str) -> Environment | None:
        """The environment of that key; None when there is none, or its Python is gone."""
        found = self._known.get(key)
        return found if found is not None and found.usable else None

    def python_of(self, key: str) -> WorkerPython | None:
        """What starts a worker in that environment; None for no environment, which is the platform's own Python.

        An environment that is gone gives a path that cannot be started, and an error that names it.
        """
        if not key:
            return None
        found = self._known.get(key)
        folder = self.folder / key
        return WorkerPython(folder / "bin" / "python", found.python if found else "", self._bridge_folder())

    @asynccontextmanager
    async def provided(self, tree: Path, config: FunctionConfig, tell: Tell) -> AsyncIterator[Environment | None]:
        """The environment of the function in ``tree``, built when it is not there; it stays at least as long as this.

        None: the function needs none. Raises RequirementsError, NoPython, BuildFailed, BuildTimeout, DiskFull,
        PlatformFailure; what ran before is not touched. Cancelling it ends the build, unless others wait for it too.
        """
        async with self.elsewhere(tree, config, tell) as taken:
            if taken:
                yield None
                return
        requirements = await asyncio.to_thread(find_requirements, tree, config.entry)
        order = await self._order(requirements, config)
        if order is None:
            yield None
            return
        self._held[order.key] += 1
        try:
            yield self.of(order.key) or await self._built(order, tree, tell)
        finally:
            self._held[order.key] -= 1

    def remove_unused(self, keys: Collection[str]) -> Callable[[], list[str]]:
        """Forget every environment but ``keys`` and those that are held; returns what removes their folders (blocks)
        and tells their names.
        """
        kept = {*keys, *(key for key, count in self._held.items() if count > 0), *self._builds}
        self._held = +self._held
        self._known = {key: found for key, found in self._known.items() if key in kept}

        def work() -> list[str]:
            removed = []
            for path in self.folder.iterdir():
                if _KEY.fullmatch(path.name) and path.name not in kept:
                    # Renamed first: what is half removed must never look like an environment.
                    gone = path.rename(self.folder / f"{_STAGING}{secrets.token_hex(8)}")
                    shutil.rmtree(gone, ignore_errors=True)
                    removed.append(path.name)
            return removed

        return work

    async def close(self) -> None:
        """End the builds under way."""
        builds = list(self._builds.values())
        for build in builds:
            build.task.cancel()
        if builds:
            await asyncio.wait({build.task for build in builds})

    # choosing

    async def _order(self, requirements: Requirements | None, config: FunctionConfig) -> Order | None:
        wish = Wish(
            config.python,
            requirements.requires_python if requirements is not None else None,
            requirements.file if requirements is not None else "",
        )
        nothing = requirements is None or requirements.empty
        interpreter = await self._interpreter(wish)
        if nothing and interpreter == self._own:
            return None
        wanted = None if nothing else requirements
        return Order(self._key(wanted, interpreter), interpreter, wanted)

    async def _interpreter(self, wish: Wish) -> Interpreter:
        if not wish.contradicts_itself() and wish.takes(self._own):
            return self._own
        known = self._chosen.get(wish)
        if known is None or not known.executable.exists():
            listed = await self._uv().run(
                ["python", "list", "--only-installed", "--output-format", "json"],
                cwd=self.folder,
                variables={"PATH": search_path(self._environ, self._own.executable)},
            )
            if listed.code != 0:
                raise PlatformFailure(f"uv cannot list the Pythons of this machine: {' '.join(listed.said)[-500:]}")
            known = self._chosen[wish] = choose(wish, [self._own, *read_list(listed.output)])
        return known

    def _key(self, requirements: Requirements | None, interpreter: Interpreter) -> str:
        value = [
            _FORMAT,
            requirements.digest if requirements is not None else "",
            interpreter.text,
            os.path.realpath(interpreter.executable),
            sysconfig.get_platform(),
            platform.libc_ver()[0],
            bridge_kit.requires(),
        ]
        return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:32]

    # building

    async def _built(self, order: Order, tree: Path, tell: Tell) -> Environment:
        build = self._builds.get(order.key)
        if build is None:
            what = order.source or "an environment"
            builder = Builder(self.folder, self._bridge_folder(), self._uv(), self._limits)
            staging = self.folder / f"{_STAGING}{secrets.token_hex(8)}"
            build = self._builds[order.key] = _Build()
            build.tell(f"installing {what} for Python {order.interpreter.text}")
            build.start(builder.build(order, tree, staging, build.tell))
            build.task.add_done_callback(lambda _: self._builds.pop(order.key))
        environment = await build.wait(tell)
        self._known[order.key] = environment
        return environment

    def _uv(self) -> Program:
        return Program(self._find_uv(), uv_environment(self._environ, self.folder / "uv-cache"))

    def _bridge_folder(self) -> Path:
        if self._bridge is None:
            raise PlatformFailure("the environments were not opened")
        return self._bridge


@asynccontextmanager
async def _nowhere(_tree: Path, _config: FunctionConfig, _tell: Tell) -> AsyncIterator[bool]:
    yield False


class _Build:
    """A build under way, and those who wait for it; when the last of them leaves, it is cancelled."""

    def __init__(self) -> None:
        self._tells: list[Tell] = []
        self._so_far: list[str] = []
        self.task: asyncio.Task[Environment]

    def start(self, work: Awaitable[Environment]) -> None:
        async def run() -> Environment:
            return await work

        self.task = asyncio.get_running_loop().create_task(run(), name="build")

    def tell(self, line: str) -> None:
        self._so_far.append(line)
        for tell in self._tells:
            tell(line)

    async def wait(self, tell: Tell) -> Environment:
        for line in self._so_far:
            tell(line)
        self._tells.append(tell)
        try:
            return await asyncio.shield(self.task)
        finally:
            self._tells.remove(tell)
            if not self._tells and not self.task.done():
                self.task.cancel()
                await asyncio.wait({self.task})
