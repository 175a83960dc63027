"""One container from nothing to a program that runs in it: every step, and how to undo those that were taken."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dialback_invoker.launchers import docker_container, docker_door
from dialback_invoker.launchers.base import LaunchFailed, WorkerSpec
from dialback_invoker.launchers.docker_container import CODE_PLACE, ContainerSpec
from dialback_invoker.launchers.docker_door import Door
from dialback_invoker.launchers.docker_engine import EngineFailed, Missing
from dialback_invoker.launchers.docker_site import Site

LOOK_EVERY = 0.25
"""Seconds between looks at a container that has not reached the door yet."""


@dataclass(frozen=True, slots=True)
class Program:
    """What the container's first program becomes."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    configuration: bytes = field(default=b"", repr=False)
    control_on_stdin: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """A container that runs."""

    container: str
    connection: socket.socket
    outputs: dict[str, int]
    """Our reading ends, by name."""


class Launch:
    """``name`` is the worker's, and that of its folder of sockets, which is there already. `run`, then either `clear`
    at the end, or `undo` after a failure or a cancellation.
    """

    def __init__(self, site: Site, name: str, spec: WorkerSpec) -> None:
        self._site = site
        self._engine = site.engine
        self._spec = spec
        self._name = name
        self._door = Door(site.folder(name))
        self._network = ""
        self._joining: asyncio.Task[str] | None = None
        self._creating: asyncio.Task[str] | None = None
        self._connection: socket.socket | None = None

    async def run(self, program: Program) -> Started:
        """Raises LaunchFailed."""
        loop = asyncio.get_running_loop()
        facts = await self._site.meet()
        if self._spec.sandbox is not None and self._spec.sandbox not in facts.runtimes:
            raise EngineFailed(
                f'the Docker Engine has no runtime {self._spec.sandbox!r}, which sandbox = "{self._spec.sandbox}" asks '
                f"for; it has {', '.join(sorted(facts.runtimes))}",
                code="no_sandbox",
            )
        image = await self._site.image_of(self._spec.bundle)
        await self._site.furnish(self._site.folder(self._name), self._spec.bundle)
        self._door.open()
        self._joining = loop.create_task(self._site.join_network(self._spec.function, self._spec.network))
        self._network = await asyncio.shield(self._joining)
        name = f"dialback-{self._site.platform}-{self._name}"
        self._creating = loop.create_task(self._engine.create(name, docker_container.options(self._container(image))))
        try:
            container = await asyncio.shield(self._creating)
        except Missing as error:
            self._site.forget_images()
            if image == self._site.image.name:
                raise self._site.image.missing() from error
            raise EngineFailed(f"the image {image} is missing; it is built again", code="image_missing") from error
        await self._engine.start(container)
        self._connection = await self._admitted(container)
        outputs = await docker_door.hand_over(
            self._connection,
            arguments=program.arguments,
            folder=CODE_PLACE,
            environment=program.environment,
            configuration=program.configuration,
            control_on_stdin=program.control_on_stdin,
        )
        return Started(container, self._connection, outputs)

    async def undo(self) -> None:
        """What is under way at the engine is waited for, so that it can be undone."""
        self._door.close()
        if self._connection is not None:
            self._connection.close()
        under_way = [task for task in (self._joining, self._creating) if task is not None]
        if under_way:
            await asyncio.wait(under_way)
        if self._joining is not None and self._joining.exception() is None:
            self._network = self._joining.result()
        made = self._creating is not None and self._creating.exception() is None
        if made or self._network:
            await self.clear()

    async def clear(self) -> None:
        """Removes the container, its folder, and its network if nobody else is on it."""
        made = self._creating is not None and self._creating.exception() is None
        container = self._creating.result() if self._creating is not None and made else ""
        await self._site.clear(container, self._spec.function, self._name, self._network)

    def _container(self, image: str) -> ContainerSpec:
        spec = self._spec
        return ContainerSpec(
            image=image,
            door=self._site.outside(self._site.folder(self._name)),
            code=self._site.outside(spec.bundle),
            memory_mb=spec.memory_mb,
            cpus=spec.cpus,
            network=self._network,
            runtime=spec.sandbox,
            labels={
                **self._site.container_labels,
                docker_container.WORKER_LABEL: self._name,
                docker_container.FUNCTION_LABEL: spec.function,
                docker_container.DEPLOYMENT_LABEL: spec.deployment,
            },
        )

    async def _admitted(self, container: str) -> socket.socket:
        """Waits until the container's first program is at the door, or the container is dead."""
        admitting = asyncio.get_running_loop().create_task(self._door.admit())
        try:
            while True:
                done, _ = await asyncio.wait([admitting], timeout=LOOK_EVERY)
                if done:
                    return admitting.result()
                state = await self._engine.state(container)
                if not state.running:
                    said = (await self._engine.last_words(container)).strip() or state.error
                    raise LaunchFailed(
                        f"the container of {self._spec.function} ended with status {state.exit_code} before its worker "
                        f"began: {said or 'it said nothing'}",
                        code="worker_exited",
                    )
        finally:
            if not admitting.done():
                admitting.cancel()
                await asyncio.wait([admitting])
