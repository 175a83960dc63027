"""A network for each function that may reach the outside, there as long as one of its workers is.

Engines have room for about thirty networks, so none is made for a function that needs none, and none is kept.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping

from dialback_invoker.launchers.docker_container import FUNCTION_LABEL
from dialback_invoker.launchers.docker_engine import Engine, EngineFailed

NONE = "none"
PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds between attempts to remove a network: the engine may still be taking the last container off it."""


class Networks:
    """Those of one platform, whose mark is ``platform``; each has ``labels``."""

    def __init__(self, engine: Engine, platform: str, labels: Mapping[str, str]) -> None:
        self._engine = engine
        self._platform = platform
        self._labels = labels
        self._ids: dict[str, str] = {}
        self._users: Counter[str] = Counter()
        self._locks: Mapping[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def join(self, function: str) -> str:
        """The id of the function's network, made for its first worker. Each `join` needs its `leave`."""
        async with self._locks[function]:
            if function not in self._ids:
                labels = {**self._labels, FUNCTION_LABEL: function}
                name = f"dialback-{self._platform}-{function.lower()}"
                self._ids[function] = await self._engine.create_network(name, labels)
            self._users[function] += 1
            return self._ids[function]

    async def leave(self, function: str) -> None:
        """After the worker's container is gone. The last one's network goes, too.

        Raises EngineFailed when that cannot be done by and by; the function's next worker uses the network again then.
        """
        async with self._locks[function]:
            self._users[function] -= 1
            if self._users[function] == 0:
                del self._users[function]
                await self._remove(self._ids[function])
                del self._ids[function]

    async def _remove(self, network: str) -> None:
        for pause in PAUSES:
            try:
                await self._engine.remove_network(network)
            except EngineFailed:
                await asyncio.sleep(pause)
            else:
                return
        await self._engine.remove_network(network)
