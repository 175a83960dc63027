"""The `docker` launcher: a worker is a container, hardened, alone on its network, gone without a trace when it ends.

A worker's folder `doors/<id>/` in the run folder holds three sockets (door, runtime API, receiver) and is mounted
read-only into that worker's container alone; its code is another read-only mount. A container needs no network to
reach the platform.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dialback_invoker.errors import DialbackError
from dialback_invoker.launchers import environment
from dialback_invoker.launchers.base import LaunchFailed, LogLine, WorkerControl, WorkerSpec
from dialback_invoker.launchers.docker_container import CODE_PLACE, DOOR_PLACE
from dialback_invoker.launchers.docker_door import ended
from dialback_invoker.launchers.docker_engine import EngineUnavailable
from dialback_invoker.launchers.docker_launch import Launch, Program, Started
from dialback_invoker.launchers.docker_site import Site
from dialback_invoker.launchers.docker_worker import ContainerWorker
from dialback_invoker.launchers.tail import Tail

_SAY_VERSION = "import platform; print(platform.python_version())"
WORKER_ARGUMENTS = ("-P", "-s", "-u", "-m", "dialback_bridge", "worker")


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended: its exit status, 128 and more for a signal, and the end of what it wrote."""

    status: int
    out: bytes
    err: bytes


class DockerLauncher:
    """Starts workers as containers at a site."""

    name = "docker"

    def __init__(self, site: Site) -> None:
        self.site = site
        self._python = ("", "")

    @property
    def memory_enforcement(self) -> Literal["cgroup"]:
        """The engine's containers are cgroups."""
        return "cgroup"

    async def prepare(self, worker_id: str) -> Path:
        """Makes the worker's folder; answers where its runtime API listens."""
        return await self.site.make_folder(worker_id) / "runtime.sock"

    async def launch(self, spec: WorkerSpec, control: WorkerControl) -> ContainerWorker:
        """Starts a container for the folder that `prepare` made. Raises LaunchFailed."""
        program = Program(
            WORKER_ARGUMENTS,
            worker_environment(spec, control.worker_id),
            environment.configuration(spec, control, Path(DOOR_PLACE, "runtime.sock")),
        )
        launch = Launch(self.site, control.worker_id, spec)
        try:
            started = await launch.run(program)
        except BaseException as error:
            await self.site.see_through(launch.undo())
            if isinstance(error, DialbackError):
                _tell(control, spec, error)
            raise
        return ContainerWorker(started, spec, control, self.site.engine, launch.clear)

    def started(self, spec: WorkerSpec) -> None:
        """Nothing is made ready for containers to come."""

    def let_go(self, spec: WorkerSpec) -> None:
        """Nothing is kept ready for containers to come."""

    async def discard(self, worker_id: str) -> None:
        """Removes the folder of a worker that never ran."""
        await self.site.remove_folder(worker_id)

    async def python_version(self) -> str:
        """Of the interpreter in the workers' image. Raises LaunchFailed."""
        identity = await self.site.image.identity()
        if self._python[0] != identity:
            with tempfile.TemporaryDirectory(dir=self.site.folder("").parent) as nothing:
                spec = WorkerSpec("python-version", "", Path(nothing), "")
                try:
                    ran = await self.run_once(spec, ["-c", _SAY_VERSION], {}, 10.0)
                except TimeoutError:
                    raise LaunchFailed(f"the interpreter of {self.site.image.name} does not answer") from None
            self._python = (identity, ran.out.decode("utf-8", "replace").strip())
        return self._python[1]

    async def close(self) -> None:
        """After the last worker's `dispose`."""
        await self.site.close()

    async def run_once(self, spec: WorkerSpec, arguments: Sequence[str], env: Mapping[str, str], seconds: float) -> Ran:
        """Runs the interpreter with these arguments in a container as hardened as a worker's, its code
        ``spec.bundle``. Raises LaunchFailed; TimeoutError after ``seconds``, which begin when it runs.
        """
        name = f"i_{secrets.token_hex(6)}"
        await self.site.make_folder(name)
        launch = Launch(self.site, name, spec)
        try:
            started = await launch.run(Program(arguments, env, control_on_stdin=True))
            try:
                async with asyncio.timeout(seconds):
                    return await self._ran(started)
            finally:
                started.connection.close()
                for handle in started.outputs.values():
                    os.close(handle)
        finally:
            await self.site.see_through(launch.undo())
            await self.site.remove_folder(name)
            self.site.leave(spec.bundle)

    async def _ran(self, started: Started) -> Ran:
        tails = {name: Tail(handle) for name, handle in started.outputs.items()}
        try:
            await ended(started.connection)
            pause = 0.005
            while (state := await self.site.engine.state(started.container)).running:
                await asyncio.sleep(pause)
                pause = min(2 * pause, 0.1)
            return Ran(state.exit_code, tails["stdout"].text(), tails["stderr"].text())
        finally:
            for tail in tails.values():
                tail.close()


def worker_environment(spec: WorkerSpec, worker_id: str) -> dict[str, str]:
    """The same environment as for a process; PATH and the interpreter's version are the image's."""
    made = environment.environment(spec, worker_id, Path(CODE_PLACE), Path("/tmp"))
    if "PATH" not in spec.env:
        del made["PATH"]
    return made


def _tell(control: WorkerControl, spec: WorkerSpec, error: DialbackError) -> None:
    """The function's own log says why it does not start."""
    level = "WARNING" if isinstance(error, EngineUnavailable) else "ERROR"
    for line in error.message.splitlines():
        control.on_log(LogLine(spec.function, control.worker_id, "", "platform", level, line))
