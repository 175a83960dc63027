"""Builds one environment in a staging folder: a copy of the code, ``uv venv``, ``uv pip install``, then one rename.

Whatever happens before the rename leaves nothing that counts; what a crash leaves is swept at the next start. Builds of
source distributions run code that the function chose, with the rights of this process.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from dialback_invoker.deploy.bundle import copy_tree
from dialback_invoker.environments.bridge_kit import write_wheel
from dialback_invoker.environments.environment import Environment, folder_size, installed_packages
from dialback_invoker.environments.interpreters import Interpreter
from dialback_invoker.environments.program import Finished, Program
from dialback_invoker.environments.requirements import Requirements
from dialback_invoker.environments.resolver_words import cleaned, failure, is_noise
from dialback_invoker.errors import BuildFailed, BuildTimeout, BuildTooLarge
from dialback_invoker.launchers import proc
from dialback_invoker.paths import from_os_error

P = ParamSpec("P")
T = TypeVar("T")
Tell = Callable[[str], None]
"""is given lines of progress, on the loop's thread; must neither block nor raise"""

_LOOK_EVERY: Final = 0.5  # seconds between two looks at the size


@dataclass(frozen=True, slots=True)
class BuildLimits:
    """What one build may take."""

    seconds: float = 600.0
    size: int = 4 * 1024**3
    """bytes of the environment"""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be built."""

    key: str
    interpreter: Interpreter
    requirements: Requirements | None
    """None: nothing but what the bridge needs"""

    @property
    def source(self) -> str:
        """The file that says what is wanted; empty when there is none."""
        return self.requirements.file if self.requirements is not None else ""


class Builder:
    """Builds environments below ``folder``."""

    def __init__(self, folder: Path, bridge: Path, uv: Program, limits: BuildLimits) -> None:
        self._folder = folder
        self._bridge = bridge
        self._uv = uv
        self._limits = limits

    async def build(self, order: Order, tree: Path, staging: Path, tell: Tell) -> Environment:
        """Build ``order`` from a copy of the function in ``tree``; ``staging`` is a fresh name, and gone afterwards.

        Raises BuildFailed and its kinds, BuildTimeout, DiskFull, PathProblem, PlatformFailure.
        """
        try:
            async with asyncio.timeout(self._limits.seconds):
                return await self._build(order, tree, staging, tell)
        except TimeoutError as error:
            raise BuildTimeout(
                f"installing the dependencies took longer than {self._limits.seconds:g} seconds (--build-timeout)",
                file=order.source or None,
            ) from error
        except OSError as error:
            raise from_os_error(error, f"the environment {order.key} cannot be made") from error
        finally:
            await _to_its_end(sweep, staging)

    async def _build(self, order: Order, tree: Path, staging: Path, tell: Tell) -> Environment:
        source, made = staging / "source", staging / "environment"
        await _to_its_end(_prepare, staging, tree, source)
        wheel = await asyncio.to_thread(write_wheel, staging)
        python = str(order.interpreter.executable)
        await self._step(
            order, staging, ["venv", "--relocatable", "--no-project", "--python", python, str(made)], source
        )
        wanted = await self._wanted(order, staging, source, python)
        installed = made / "bin" / "python"
        install = ["pip", "install", "--python", str(installed)]
        strict = order.requirements is not None and "--require-hashes" in order.requirements.lines
        if strict:
            # Every requirement must have a hash then, and the bridge's cannot: they come in a second step, held to
            # what the first has chosen.
            await self._step(order, staging, [*install, *wanted], source, tell)
            chosen = await self._step(order, staging, ["pip", "freeze", "--python", str(installed)], source)
            (staging / "chosen.txt").write_bytes(chosen.output)
            wanted = ["--constraint", str(staging / "chosen.txt")]
        await self._step(order, staging, [*install, *wanted, str(wheel)], source, tell)
        await self._try_bridge(order, staging, installed)
        return await _to_its_end(self._finish, order, made)

    async def _wanted(self, order: Order, staging: Path, source: Path, python: str) -> list[str]:
        """The arguments that say what to install."""
        requirements = order.requirements
        if requirements is None or requirements.empty:
            return []
        if requirements.kind == "requirements.txt":
            path = staging / requirements.file
            path.write_text("".join(f"{_absolute(line, source)}\n" for line in requirements.lines))
            return ["-r", str(path)]
        if requirements.kind == "uv.lock":
            export = ["export", "--locked", "--no-dev", "--no-emit-project", "--no-editable", "--python", python]
            locked = await self._step(order, staging, [*export, "--format", "requirements-txt"], source)
            (staging / "uv.lock").write_bytes(locked.output)
            return ["-r", str(staging / "uv.lock")]
        return ["-r", requirements.file]

    async def _try_bridge(self, order: Order, staging: Path, python: Path) -> None:
        """Load what a worker loads before the function: an environment where that fails is none. What is compiled by
        it stays, so that the first worker does not wait for that.
        """
        program = Program(str(python), {"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONPATH": str(self._bridge)})
        modules = "dialback_bridge.worker, dialback_bridge.web_socket"
        tried = await program.run(["-s", "-c", f"import {modules}"], cwd=staging / "tmp")
        if tried.code != 0:
            why = cleaned(tried.said[-1] if tried.said else f"exit code {tried.code}", staging)
            raise BuildFailed(f"the bridge cannot be loaded beside these packages: {why}", file=order.source or None)

    async def _step(
        self, order: Order, staging: Path, arguments: list[str], cwd: Path, tell: Tell | None = None
    ) -> Finished:
        def on_line(line: str) -> None:
            if tell is not None and not is_noise(line):
                tell(cleaned(line, staging))

        running = asyncio.create_task(
            self._uv.run(
                arguments,
                cwd=cwd,
                on_line=on_line,
                largest_file=self._limits.size,
                variables={"TMPDIR": str(staging / "tmp")},
            )
        )
        try:
            while not (await asyncio.wait({running}, timeout=_LOOK_EVERY))[0]:
                await self._check_size(order, staging)
        finally:
            if not running.done():
                running.cancel()
                await asyncio.wait({running})
        finished = running.result()
        if finished.code != 0:
            what = order.source or f"an environment of Python {order.interpreter.text}"
            raise await asyncio.to_thread(failure, what, finished, staging)
        await self._check_size(order, staging)
        return finished

    async def _check_size(self, order: Order, staging: Path) -> None:
        if await asyncio.to_thread(folder_size, staging) > self._limits.size:
            raise BuildTooLarge(
                f"the dependencies are larger than {self._limits.size} bytes (--build-limit)", file=order.source or None
            )

    def _finish(self, order: Order, made: Path) -> Environment:
        final = self._folder / order.key
        environment = Environment(
            key=order.key,
            folder=final,
            python=order.interpreter.text,
            source=order.source,
            packages=installed_packages(made),
            size=folder_size(made),
        )
        environment.write_record(made)
        shutil.rmtree(final, ignore_errors=True)  # one whose Python is gone
        made.rename(final)
        return environment


def sweep(staging: Path) -> None:
    """End whatever still builds in ``staging``, also what has left its process group, and remove it. Blocks."""
    proc.kill_all(lambda: proc.marked(staging, "TMPDIR"))
    shutil.rmtree(staging, ignore_errors=True)


async def _to_its_end(work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """In a thread that is waited for though we are cancelled: nobody may remove the files that it works on."""
    job = asyncio.ensure_future(asyncio.to_thread(work, *arguments, **options))
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        await asyncio.wait({job})
        raise


def _prepare(staging: Path, tree: Path, source: Path) -> None:
    staging.mkdir(mode=0o700)
    (staging / "tmp").mkdir()
    copy_tree(tree, source)
    for root, _, names in os.walk(source):  # a bundle is read-only, and builds write beside their sources
        for name in names:
            path = os.path.join(root, name)
            os.chmod(path, os.stat(path).st_mode | 0o200)


def _absolute(line: str, source: Path) -> str:
    """Options that name a path are relative to the file that they stand in, and this file stands elsewhere."""
    option, _, value = line.partition(" ")
    if option in ("-c", "--find-links") and "://" not in value:
        return f"{option} {source / value}"
    return line
