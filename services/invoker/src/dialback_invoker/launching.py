"""Which launcher runs a function, and which inspector looks at it before: the platform's, unless the function says.

Where the platform's launcher is `docker`, no function runs outside a container, whatever it asks for.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dialback_invoker.deploy.inspect import Inspected, Inspector
from dialback_invoker.deployment import Deployment
from dialback_invoker.errors import ConfigError
from dialback_invoker.function_config import CONFIG_FILE, FunctionConfig
from dialback_invoker.launchers.base import AllowedUrl, Launcher, WorkerPython
from dialback_invoker.launchers.docker_container import CALLBACK_URL, PLATFORM_LABEL, RECEIVER
from dialback_invoker.launchers.process import ProcessLauncher
from dialback_invoker.paths import DataFolder, RunFolder, from_os_error
from dialback_invoker.pools import Launching
from dialback_invoker.secrets.book import NOTHING, Surroundings
from dialback_invoker.settings import InvokerSettings

if TYPE_CHECKING:
    from dialback_invoker.launchers.docker import DockerLauncher
    from dialback_invoker.launchers.docker_environments import ContainerEnvironments

ALLOW = (AllowedUrl("unix", path=RECEIVER),)


class Launchers:
    """The launchers of one platform. `start`, then use, then `close`.

    That for containers is made when it is first needed: a platform that runs none needs no engine.
    """

    def __init__(
        self,
        settings: InvokerSettings,
        data: DataFolder,
        run: RunFolder,
        process: ProcessLauncher | None,
        inspector: Inspector,
        open_receiver: Callable[[], Awaitable[Path]],
        *,
        development: bool = False,
    ) -> None:
        """``process`` starts workers as processes, and ``inspector`` looks at their functions; None where all workers
        are containers. ``open_receiver`` makes the receiver listen on its Unix socket, unless it does, and answers
        where.
        """
        self._settings = settings
        self._data = data
        self._run = run
        self._open_receiver = open_receiver
        self._process = process
        self._development = development
        self._docker: DockerLauncher | None = None
        self._process_inspector = inspector
        self._receiver: tuple[str, tuple[AllowedUrl, ...]] = ("", ())

    @property
    def default(self) -> Launcher:
        """The platform's own."""
        return self._process or self._containers()

    @property
    def zygotes(self) -> list[str]:
        """Of every function that keeps processes from which its workers are forked: what is imported there."""
        return [] if self._process is None else [nest.imported for nest in self._process.zygotes.nests]

    async def start(self) -> None:
        """Sweeps what a crash left. Only for the holder of the data folder's lock."""
        await asyncio.to_thread(shutil.rmtree, self._run.doors, ignore_errors=True)
        if self._process is not None:
            await self._process.sweep()

    async def close(self) -> None:
        """After the last worker's end."""
        if self._docker is not None:
            await self._docker.close()
        if self._process is not None:
            await self._process.close()

    def dial(self, url: str, allow: tuple[AllowedUrl, ...]) -> None:
        """Where the receiver is for processes; containers find it at a place of their own. Begins to talk to the engine
        where containers are, or were, run.
        """
        self._receiver = (url, allow)
        if self._process is None or self._data.identity.exists():
            self._containers().site.start()

    def launching(self, config: FunctionConfig) -> Launching:
        """How workers of a function are started."""
        if self._process is not None and not self._contained(config):
            return Launching(self._process, *self._receiver)
        return Launching(self._containers(), CALLBACK_URL, ALLOW)

    def prepare(self, deployment: Deployment) -> None:
        """It serves from now on: its image is looked for, and built if it is not there any more."""
        if self._contained(deployment.config):
            self._containers().site.prepare(self._data.bundle(deployment.bundle))

    @asynccontextmanager
    async def provided(self, tree: Path, config: FunctionConfig, tell: Callable[[str], None]) -> AsyncIterator[bool]:
        """What a function in a container needs is in its image, which is ready in here; False for any other."""
        if not self._contained(config):
            yield False
            return
        self._refuse_process(config)
        async with self._environments().provided(tree, config, tell):
            yield True

    async def remove_unused(self, bundles: Collection[str]) -> list[str]:
        """Removes the images of functions that are not among these any more; their names."""
        if self._docker is None or not self._docker.site.met:
            return []
        trees = [self._data.bundle(each) for each in bundles]
        return await self._environments().remove_unused(trees)

    def _environments(self) -> ContainerEnvironments:
        found = self._containers().site.environments
        assert found is not None
        return found

    async def inspect(
        self,
        folder: Path,
        config: FunctionConfig,
        python: WorkerPython | None = None,
        surroundings: Surroundings = NOTHING,
    ) -> Inspected:
        """Implements `deploy.inspect.Inspector`. Raises ConfigError for what this platform does not run."""
        if not self._contained(config):
            self._refuse_container_keys(config)
            return await self._process_inspector.inspect(folder, config, python, surroundings)
        self._refuse_process(config)
        from dialback_invoker.deploy.inspect_container import ContainerInspector

        return await ContainerInspector(self._containers()).inspect(folder, config, surroundings)

    def _contained(self, config: FunctionConfig) -> bool:
        """Whether a function runs in containers. Under `dialback dev` what can run as a process does."""
        return self._process is None or (config.launcher == "docker" and not self._development)

    def _refuse_process(self, config: FunctionConfig) -> None:
        if config.launcher == "process" and self._process is None:
            raise ConfigError(
                'launcher = "process": this platform runs functions in containers alone; leave the key out',
                file=CONFIG_FILE,
            )

    def _refuse_container_keys(self, config: FunctionConfig) -> None:
        """A wish that would not be granted is an error, never ignored."""
        if self._development:
            return
        for key, value, asked in (
            ("sandbox", config.sandbox, config.sandbox),
            ("idle", "pause", config.idle == "pause"),
        ):
            if asked:
                raise ConfigError(
                    f'{key} = "{value}": that takes containers; say launcher = "docker", too', file=CONFIG_FILE
                )

    def _containers(self) -> DockerLauncher:
        if self._docker is None:
            # Late, because the engine's package is not needed by a platform that runs no containers.
            from dialback_invoker.launchers.docker import DockerLauncher
            from dialback_invoker.launchers.docker_engine import Engine
            from dialback_invoker.launchers.docker_environments import ContainerEnvironments
            from dialback_invoker.launchers.docker_images import WorkerImage, checkout
            from dialback_invoker.launchers.docker_site import Site

            engine = Engine(self._settings.docker_host or None)
            mark = identity(self._data)
            site = Site(
                self._run.doors,
                platform=mark,
                receiver=self._open_receiver,
                engine=engine,
                image=WorkerImage(engine, self._settings.worker_image, checkout(), {PLATFORM_LABEL: mark}),
            )
            self._docker = DockerLauncher(site)
            site.environments = ContainerEnvironments(engine, site.image, site.platform, self._docker.python_version)
        return self._docker


def identity(data: DataFolder) -> str:
    """The data folder's own mark, made once: two platforms at one engine never take each other's containers for
    theirs. Raises PathProblem, DiskFull.
    """
    try:
        if not data.identity.exists():
            draft = data.identity.with_suffix(".new")
            draft.write_text(secrets.token_hex(6) + "\n")
            draft.replace(data.identity)
        return data.identity.read_text().strip()
    except OSError as error:
        raise from_os_error(error, f"cannot keep {data.identity}") from error
