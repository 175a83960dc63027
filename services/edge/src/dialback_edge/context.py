"""What every connection of one edge shares."""

import asyncio
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dialback_wire.ids import RANDOM_BYTES, new_id
from dialback_wire.randomness import Randomness

from .access_log import AccessLog, no_log
from .hooks import Hooks
from .settings import EdgeSettings
from .tracing import Tracer
from .upstream import Upstream

if TYPE_CHECKING:
    from .connection import ClientConnection


_random = Randomness(os.urandom)


@dataclass(slots=True, eq=False)
class EdgeContext:
    """Settings, upstream, log, and the connections that are open."""

    settings: EdgeSettings
    upstream: Upstream
    log: AccessLog = no_log
    tracer: Tracer | None = None
    hooks: Hooks = field(default_factory=Hooks)
    draining: bool = False
    connections: set["ClientConnection"] = field(default_factory=set)
    emptied: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the last connection of a draining edge is gone."""

    def forget(self, connection: "ClientConnection") -> None:
        """`connection` is gone."""
        self.connections.discard(connection)
        if self.draining and not self.connections:
            self.emptied.set()

    def health(self) -> tuple[int, dict[str, object]]:
        """Status and body of the health answer."""
        linked = self.upstream.ready
        status = "draining" if self.draining else "ready" if linked else "unavailable"
        body: dict[str, object] = {"status": status, "link": "ready" if linked else "connecting"}
        return (200 if status == "ready" else 503), body


def fresh_id() -> str:
    """A new invocation id, made of the system's randomness."""
    return new_id(_random(RANDOM_BYTES))
