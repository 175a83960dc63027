"""The composition root: listener, connections, clocks and drain, around an upstream.

The upstream is a `LinkClient` in a process of its own; in the all-in-one process it is in memory.
"""

import asyncio
import logging
from collections.abc import Iterator

from dialback_wire.metrics import Reading

from .access_log import AccessLog, AccessRecord, no_log
from .connection import ClientConnection
from .context import EdgeContext
from .hooks import Hooks
from .listener import Listener
from .metrics import EdgeMetrics
from .settings import EdgeSettings
from .tracing import Tracer
from .upstream import Upstream

_log = logging.getLogger("dialback.edge")
_LAST_WORDS = 1.0


class EdgeService:
    """The public front. `start`, then `drain`, then `stop`; each once, on the loop it belongs to."""

    def __init__(
        self,
        settings: EdgeSettings,
        upstream: Upstream,
        log: AccessLog = no_log,
        tracer: Tracer | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        self._metrics = EdgeMetrics()
        self._context = EdgeContext(settings, upstream, _both(self._metrics.count, log), tracer, hooks or Hooks())
        self._listener = Listener(
            self._connect,
            lambda: len(self._context.connections),
            at_most=settings.limits.connections,
            backlog=settings.limits.backlog,
        )
        self._timer: asyncio.TimerHandle | None = None

    @property
    def connections(self) -> int:
        """Clients that are connected now."""
        return len(self._context.connections)

    @property
    def answering(self) -> int:
        """Requests that are being answered now."""
        return sum(connection.busy for connection in self._context.connections)

    def readings(self) -> Iterator[Reading]:
        """What was counted since the start, and how it is now."""
        return self._metrics.readings(
            in_flight=self.answering, connections=self.connections, linked=self._context.upstream.ready
        )

    async def start(self) -> tuple[str, int]:
        """Listen. Returns the bound host and port. Raises SettingsError when the address cannot be had."""
        settings = self._context.settings
        address = self._listener.bind(settings.host, settings.port)
        self._schedule(asyncio.get_running_loop())
        return address

    async def drain(self, grace: float, delay: float = 0.0) -> bool:
        """Let running answers end.

        Health says 503 and idle connections close at once; the listener stays open for `delay` seconds, so that a load
        balancer can turn away. What runs longer than `grace` seconds is cut, visibly for its client. Returns whether
        all ended by themselves. May be cancelled, to `stop` at once.
        """
        context = self._context
        context.draining = True
        self._drain_connections()
        if delay:
            await asyncio.sleep(delay)
        self._listener.close()
        self._drain_connections()
        if await self._emptied(grace):
            return True
        for connection in list(context.connections):
            connection.cut()
        await self._emptied(_LAST_WORDS)
        return False

    async def stop(self) -> None:
        """Close everything now; what still runs is reset."""
        self._context.draining = True
        self._listener.close()
        for connection in list(self._context.connections):
            connection.abort()
        await self._emptied(_LAST_WORDS)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _connect(self) -> ClientConnection:
        return ClientConnection(self._context, asyncio.get_running_loop())

    def _drain_connections(self) -> None:
        for connection in list(self._context.connections):
            connection.drain()

    async def _emptied(self, seconds: float) -> bool:
        context = self._context
        if context.connections:
            context.emptied.clear()
            try:
                await asyncio.wait_for(context.emptied.wait(), seconds)
            except TimeoutError:
                return False
        return True

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(self._context.settings.timeouts.tick, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in list(self._context.connections):
            try:
                connection.tick(now)
            except Exception:
                # One connection's failure must not stop the clocks of the others.
                _log.exception("a connection failed in its tick and is closed")
                connection.abort()
        self._listener.resume()
        self._schedule(loop)


def _both(count: AccessLog, log: AccessLog) -> AccessLog:
    """Count each record, then log it."""
    if log is no_log:
        return count

    def told(record: AccessRecord) -> None:
        count(record)
        log(record)

    return told
