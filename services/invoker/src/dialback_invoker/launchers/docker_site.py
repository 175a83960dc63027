"""What all containers of one platform share: the engine, our mark on it, the folders of doors, who cleans up.

Everything made at the engine bears the label ``dialback.platform=<id of the data folder>``; what an earlier invoker
left is removed as soon as the engine can be asked.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import stat
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dialback_invoker.errors import DialbackError
from dialback_invoker.launchers import docker_paths
from dialback_invoker.launchers.base import LaunchFailed
from dialback_invoker.launchers.docker_container import PLATFORM_LABEL
from dialback_invoker.launchers.docker_engine import Engine, EngineFacts, EngineFailed, EngineUnavailable
from dialback_invoker.launchers.docker_environments import ContainerEnvironments
from dialback_invoker.launchers.docker_images import WorkerImage
from dialback_invoker.launchers.docker_networks import NONE, Networks
from dialback_invoker.launchers.docker_paths import HostPaths
from dialback_invoker.launchers.docker_reaper import Reaper

log = logging.getLogger("dialback.docker")

Receiver = Callable[[], Awaitable[Path]]
CLEANING_SECONDS = 1.0
COMPOSE_PROJECT = "com.docker.compose.project"


class Site:
    """``doors`` is the folder of folders with sockets; ``platform`` marks what is ours. ``receiver`` opens
    the socket that workers dial back to, unless it is open; it is linked into every worker's folder.
    """

    def __init__(self, doors: Path, *, platform: str, receiver: Receiver, engine: Engine, image: WorkerImage) -> None:
        self.engine = engine
        self.image = image
        self.platform = platform
        self._doors = doors
        self.environments: ContainerEnvironments | None = None
        """None: every function runs in the workers' image."""
        self._open_receiver = receiver
        self._receiver = Path()
        self.container_labels = {PLATFORM_LABEL: platform}
        self.network_labels = {PLATFORM_LABEL: platform}
        self._networks = Networks(engine, platform, self.network_labels)
        self._reaper = Reaper(engine)
        self._paths = HostPaths()
        self._facts: EngineFacts | None = None
        self._readable: dict[Path, tuple[int, int]] = {}
        """Bundles that were made readable, each with what tells it from a later one at the same place."""
        self._met = asyncio.Lock()
        self._background: set[asyncio.Task[None]] = set()
        self._starting: asyncio.Task[None] | None = None

    # life

    def start(self) -> None:
        """Begins with what takes long, in the background. The engine may be away: the first worker asks again."""
        if self._starting is None:
            self._starting = asyncio.get_running_loop().create_task(self._begin())

    async def _begin(self) -> None:
        try:
            await self.meet()
            await self.image.ensure()
        except EngineFailed as error:
            log.warning("functions in containers cannot start: %s", error.message)

    async def meet(self) -> EngineFacts:
        """The first talk with the engine: where our files are for it, and what an earlier invoker left. Raises
        EngineFailed.
        """
        async with self._met:
            if self._facts is None:
                facts = await self.engine.facts()
                if not facts.seccomp:
                    log.warning("the Docker Engine at %s filters no system calls: seccomp is off", self.engine.host)
                around = await docker_paths.find_surroundings(self.engine)
                if around is not None:
                    self._paths = HostPaths(around.mounts)
                    self._join_project(around.labels)
                await self.sweep()
                self._receiver = await self._open_receiver()
                self._facts = facts
            return self._facts

    def _join_project(self, labels: Mapping[str, str]) -> None:
        """Where we belong to a compose project, so does what we make: its `down` then takes what a killed invoker
        left. Compose neither starts nor counts containers that are marked as one-offs.
        """
        project = labels.get(COMPOSE_PROJECT)
        if project is not None:
            self.network_labels[COMPOSE_PROJECT] = project
            self.container_labels |= {
                COMPOSE_PROJECT: project,
                "com.docker.compose.service": "worker",
                "com.docker.compose.oneoff": "True",
                "com.docker.compose.config-hash": "worker",
            }

    @property
    def met(self) -> bool:
        """Whether the engine has ever answered."""
        return self._facts is not None

    async def sweep(self) -> int:
        """Removes every container and network that bears our label; how many. Raises EngineFailed."""
        label = f"{PLATFORM_LABEL}={self.platform}"
        containers = await self.engine.containers(label)
        await asyncio.gather(*(self.engine.remove(container) for container in containers))
        networks = await self.engine.networks(label)
        await asyncio.gather(*(self.engine.remove_network(network) for network in networks))
        if containers or networks:
            log.info("removed what was left at the engine: containers %d, networks %d", len(containers), len(networks))
        return len(containers) + len(networks)

    async def close(self) -> None:
        """After the last worker's `dispose`: nothing of ours is left at the engine, if it can be asked."""
        if self._starting is not None:
            await asyncio.wait([self._starting])
        if self._background:
            await asyncio.wait(self._background)
        await self.image.close()
        if self.environments is not None:
            await self.environments.close()
        await self._reaper.close()
        if self._facts is not None:
            with suppress(EngineFailed):
                await self.sweep()
        await self.engine.close()
        await asyncio.to_thread(shutil.rmtree, self._doors, ignore_errors=True)

    # one container's places

    async def image_of(self, bundle: Path) -> str:
        """The image in which that code runs. Raises LaunchFailed."""
        if self.environments is None:
            return await self.image.ensure()
        return await self.environments.image_of(bundle)

    def prepare(self, bundle: Path) -> None:
        """Has the image of that code ready before anybody asks, behind the caller's back: after an upgrade of the
        bridge all of them are built anew.
        """
        task = asyncio.get_running_loop().create_task(self._prepare(bundle))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _prepare(self, bundle: Path) -> None:
        try:
            await self.image_of(bundle)
        except EngineUnavailable:
            pass  # said at the start
        except DialbackError as error:
            log.warning("a function in containers cannot start: %s", error)

    def forget_images(self) -> None:
        """The engine has lost one."""
        self.image.forget()
        if self.environments is not None:
            self.environments.forget()

    def folder(self, name: str) -> Path:
        """The folder of sockets that is mounted into that container."""
        return self._doors / name

    def outside(self, path: Path) -> str:
        """Where the engine finds a path of ours. Raises EngineFailed."""
        return self._paths.outside(path)

    async def make_folder(self, name: str) -> Path:
        """Raises LaunchFailed."""
        folder = self.folder(name)
        try:
            await asyncio.to_thread(_make, folder)
        except OSError as error:
            raise LaunchFailed(f"cannot make the worker's folder {folder}: {error.strerror or error}") from error
        return folder

    def leave(self, bundle: Path) -> None:
        """Nothing will run from that folder again."""
        self._readable.pop(bundle, None)
        if self.environments is not None:
            self.environments.leave(bundle)

    async def furnish(self, folder: Path, bundle: Path) -> None:
        """Makes sockets and code usable for the container's user. Raises LaunchFailed."""
        try:
            await asyncio.to_thread(self._furnish, folder, bundle)
        except OSError as error:
            what = error.filename or folder
            raise LaunchFailed(f"cannot furnish a container: {what}: {error.strerror or error}") from error

    def _furnish(self, folder: Path, bundle: Path) -> None:
        runtime = folder / "runtime.sock"
        if runtime.exists():
            runtime.chmod(0o666)
            self._receiver.chmod(0o666)  # both lie below a folder that is ours alone
            os.link(self._receiver, folder / "receiver.sock")
        found = bundle.stat()
        this = (found.st_ino, found.st_mtime_ns)
        if self._readable.get(bundle) != this:
            make_readable(bundle)
            self._readable[bundle] = this

    async def join_network(self, function: str, wanted: str) -> str:
        """What a container's network is called: none, or the function's own. Raises EngineFailed."""
        return await self._networks.join(function) if wanted == "outside" else NONE

    async def clear(self, container: str, function: str, name: str, network: str) -> None:
        """Removes all that a container had; what the engine refuses now is tried again in the background."""
        await self._reaper.remove(container)
        if network not in ("", NONE):
            try:
                await self._networks.leave(function)
            except EngineFailed as error:
                log.warning("a network stays until the next start: %s", error.message)
        await self.remove_folder(name)

    async def see_through(self, work: Coroutine[Any, Any, None]) -> None:
        """Cleaning up that goes on to its end, whoever is cancelled; it is waited for as long as an engine that is well
        needs, for behind it a client waits for its verdict.
        """
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        await asyncio.wait([task], timeout=CLEANING_SECONDS)

    async def remove_folder(self, name: str) -> None:
        """Whatever is in it."""
        await asyncio.to_thread(shutil.rmtree, self.folder(name), ignore_errors=True)


def make_readable(bundle: Path) -> None:
    """Lets the container's user read the code. It lies in a data folder that only we can enter."""
    for folder, _, files in os.walk(bundle):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder, name)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                path.chmod(0o555 if mode & stat.S_IXUSR else 0o444)


def _make(folder: Path) -> None:
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir()
    folder.chmod(0o755)
