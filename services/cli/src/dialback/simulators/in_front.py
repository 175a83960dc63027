"""Puts a simulator between an edge and its port, when the settings ask for one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from dialback.settings import Settings
from dialback.simulators.proxy import Simulator
from dialback_edge.settings import EdgeSettings

Expose = Callable[[tuple[str, int]], Awaitable[tuple[str, int]]]
"""(where the edge listens) to where clients reach it"""


@asynccontextmanager
async def in_front(settings: Settings) -> AsyncIterator[tuple[EdgeSettings, Expose]]:
    """The settings that the edge is to have, and what makes it public once it listens. Closed after the edge."""
    if not settings.conditions.any:

        async def as_it_is(address: tuple[str, int]) -> tuple[str, int]:
            return address

        yield settings.edge, as_it_is
        return
    simulators: list[Simulator] = []

    async def through_a_simulator(address: tuple[str, int]) -> tuple[str, int]:
        simulators.append(Simulator(settings.conditions, *address))
        return await simulators[0].start(settings.edge.host, settings.edge.port)

    try:
        yield settings.edge.model_copy(update={"host": "127.0.0.1", "port": 0}), through_a_simulator
    finally:
        for simulator in simulators:
            await simulator.close()
