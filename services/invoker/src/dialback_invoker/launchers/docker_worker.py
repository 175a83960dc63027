"""A worker in a container, while it runs: its output, its end, and the end of everything that belongs to it.

Its death is noticed at the door's connection, by the kernel and at once; the engine is only asked how it came. So a
worker that dies with its engine is noticed as any other.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial

from dialback_invoker.launchers import docker_door, proc
from dialback_invoker.launchers.base import Exit, WorkerControl, WorkerSpec, why_it_ended
from dialback_invoker.launchers.docker_engine import ContainerState, Engine, EngineFailed
from dialback_invoker.launchers.docker_launch import Started
from dialback_invoker.launchers.output import Output, PipeReader
from dialback_invoker.read_pipe import read_pipe

END_SECONDS = 2.0
"""How long the engine may take to say how a container ended."""
KILL_SECONDS = 10.0
"""After that a container that nobody can reach counts as dead; the engine is asked again until it is removed."""
LAST_WORDS = 0.2
MEMORY_AGE = 2.0
"""Seconds for which a measured size is good."""


class ContainerWorker:
    """Implements `launchers.base.RunningWorker`. ``clear`` removes the container and what belongs to it; it may not
    fail.
    """

    def __init__(
        self,
        started: Started,
        spec: WorkerSpec,
        control: WorkerControl,
        engine: Engine,
        clear: Callable[[], Awaitable[None]],
    ) -> None:
        self.container = started.container
        self._loop = asyncio.get_running_loop()
        self._connection = started.connection
        self._pid = peer(started.connection)
        self._spec = spec
        self._engine = engine
        self._clear = clear
        self._exited: asyncio.Future[Exit] = self._loop.create_future()
        self._given_up = asyncio.Event()
        self._cause = ""
        self._paused = False
        self._freezing = asyncio.Lock()
        self._memory = 0
        self._measured = 0.0
        self._measuring: asyncio.Task[None] | None = None
        self._output = Output(spec.function, control.worker_id, control.on_log, self._loop.time)
        self._readers = {name: PipeReader(name, self._output) for name in started.outputs}
        self._transports: list[asyncio.ReadTransport] = []
        self._connecting = self._loop.create_task(self._connect(started.outputs))
        self._life = self._loop.create_task(self._live())

    @property
    def pid(self) -> int | None:
        """As this process sees it; None when its namespace does not show it."""
        return self._pid or None

    @property
    def exited(self) -> asyncio.Future[Exit]:
        """Resolves when the worker is dead and the engine has said how, or cannot."""
        return self._exited

    def rss(self) -> int:
        """Resident bytes of the container as last measured; asking has it measured again."""
        if self._exited.done():
            return 0
        if self._loop.time() - self._measured > MEMORY_AGE and (self._measuring is None or self._measuring.done()):
            self._measuring = self._loop.create_task(self._measure())
        return self._memory or (proc.resident(self._pid) if self._pid else 0)

    async def pause(self) -> bool:
        """Freezes it; False when the engine could not."""
        async with self._freezing:
            if not self._exited.done() and not self._paused:
                with suppress(EngineFailed):
                    await self._engine.pause(self.container)
                    self._paused = True
            return self._paused

    async def resume(self) -> None:
        """Thaws it. A container that cannot be thawed is killed."""
        async with self._freezing:
            if not self._paused:
                return
            self._paused = False
            try:
                await self._engine.resume(self.container)
                return
            except EngineFailed as error:
                self._cause = self._cause or f"could not be thawed: {error.message}"
        await self.kill()

    async def terminate(self, grace: float) -> None:
        """SIGTERM to it, SIGKILL to everything in the container after ``grace`` seconds."""
        if not self._exited.done():
            self._cause = self._cause or "stopped by the platform"
            await self.resume()
            with suppress(EngineFailed):
                await self._engine.signal(self.container, signal.SIGTERM)
            await asyncio.wait([self._exited], timeout=grace)
        await self.kill()

    async def kill(self) -> None:
        """Ends the container. Its own watchdog does, as soon as our side of the connection is closed; should that not
        do, the engine does; and should that be away, it is asked again later.
        """
        if not self._exited.done():
            self._cause = self._cause or "was killed by the platform"
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_WR)
            removing = self._loop.create_task(self._removed())
            await asyncio.wait([self._exited], timeout=KILL_SECONDS)
            self._given_up.set()
            await asyncio.wait([removing], timeout=END_SECONDS)
        await asyncio.shield(self._exited)

    async def dispose(self) -> None:
        """Waits for the end, then until nothing is left."""
        await asyncio.shield(self._exited)
        await asyncio.shield(self._life)

    # the end

    async def _live(self) -> None:
        over = self._loop.create_task(docker_door.ended(self._connection))
        given_up = self._loop.create_task(self._given_up.wait())
        await asyncio.wait([over, given_up], return_when=asyncio.FIRST_COMPLETED)
        for task in (over, given_up):
            task.cancel()
        state = await self._end_state()
        await asyncio.wait([self._connecting])
        endings = [reader.ended for reader in self._readers.values()]
        await asyncio.wait(endings, timeout=LAST_WORDS)
        if self._measuring is not None:
            self._measuring.cancel()
        self._exited.set_result(self._describe(state))
        await asyncio.gather(over, given_up, return_exceptions=True)
        self._connection.close()
        await self._clear()
        for transport in self._transports:
            transport.close()
        await asyncio.wait(endings)

    async def _end_state(self) -> ContainerState | None:
        """How it ended, None when the engine cannot say within END_SECONDS."""
        pause = 0.005
        try:
            async with asyncio.timeout(END_SECONDS):
                while (state := await self._engine.state(self.container)).running and not self._cause:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, 0.1)
                return state
        except (TimeoutError, EngineFailed):
            return None

    def _describe(self, state: ContainerState | None) -> Exit:
        code = state.exit_code if state is not None and not state.running else None
        number = code - 128 if code is not None and 128 < code < 192 else None
        oom = state is not None and state.oom_killed and number == signal.SIGKILL
        memory_mb = self._spec.memory_mb if oom else None
        reason = why_it_ended(code, number, cause=self._cause, memory_mb=memory_mb)
        return Exit(None if number else code, number, reason, self._output.tail(), oom)

    async def _removed(self) -> None:
        with suppress(EngineFailed):
            await self._engine.remove(self.container)

    async def _measure(self) -> None:
        with suppress(EngineFailed):
            self._memory = await self._engine.memory(self.container)
        self._measured = self._loop.time()

    async def _connect(self, outputs: Mapping[str, int]) -> None:
        """Reads the worker's pipes from now on."""
        for name, handle in outputs.items():
            self._transports.append(await read_pipe(partial(self._readers.__getitem__, name), handle))


def peer(connection: socket.socket) -> int:
    """The pid of who is connected, 0 when our namespace does not show it."""
    size = struct.calcsize("3i")
    pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(pid)
