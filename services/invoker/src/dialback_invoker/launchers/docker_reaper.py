"""Removes containers, and goes on trying when the engine is away."""

from __future__ import annotations

import asyncio
import logging

from dialback_invoker.launchers.docker_engine import Engine, EngineFailed

log = logging.getLogger("dialback.docker")

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0


class Reaper:
    """What it could not remove at once it removes later, as long as the platform runs; then the next start does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._left: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def left(self) -> int:
        """Containers that are still to be removed."""
        return len(self._left)

    async def remove(self, container: str) -> None:
        """Removes it now, or promises to. Does not fail."""
        try:
            await self._engine.remove(container)
        except EngineFailed as error:
            if not self._left:
                log.warning("a container stays for now: %s", error.message)
            self._left.add(container)
            if self._task is None or self._task.done():
                self._task = asyncio.get_running_loop().create_task(self._try_again())

    async def close(self) -> None:
        """Tries once more, and no further."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._round()

    async def _try_again(self) -> None:
        pause = FIRST_PAUSE
        while self._left:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            await self._round()

    async def _round(self) -> None:
        for container in tuple(self._left):
            try:
                await self._engine.remove(container)
            except EngineFailed:
                return
            self._left.discard(container)
