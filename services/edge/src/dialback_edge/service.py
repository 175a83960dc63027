"""The composition root: listener, connections, clocks and drain, around an upstream.

`serve` runs the edge as a process of its own; the all-in-one process makes an `EdgeService` with an upstream in memory.
"""

import asyncio
import logging
import signal
from collections.abc import Callable

from .access_log import AccessLog, LineLog, no_log
from .connection import ClientConnection
from .context import EdgeContext
from .errors import SettingsError
from .link import LinkClient
from .listener import Listener
from .settings import EdgeSettings
from .upstream import Upstream

_log = logging.getLogger("dialback.edge")
_LAST_WORDS = 1.0


class EdgeService:
    """The public front. `start`, then `drain`, then `stop`; each once, on the loop it belongs to."""

    def __init__(self, settings: EdgeSettings, upstream: Upstream, log: AccessLog = no_log) -> None:
        self._context = EdgeContext(settings, upstream, log)
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


async def serve(settings: EdgeSettings, on_ready: Callable[[str, int], None] | None = None) -> bool:
    """Run the edge until SIGTERM or SIGINT; a second one stops at once. Returns whether every answer ended by itself.

    Raises SettingsError when the address or the link's key cannot be used.
    """
    if settings.link is None:
        raise SettingsError("an edge on its own needs a link to an invoker: set `link`")
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, number)
    lines = LineLog() if settings.access_log else None
    link = LinkClient(settings.link)
    edge = EdgeService(settings, link, lines or no_log)
    clean = True
    try:
        host, port = await edge.start()
        await link.start()
        if on_ready is not None:
            on_ready(host, port)
        await signals.get()
        clean = await _drain_or_second_signal(edge, settings, signals)
    finally:
        await edge.stop()
        await link.stop()
        if lines is not None:
            await asyncio.to_thread(lines.close)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    return clean


async def _drain_or_second_signal(edge: EdgeService, settings: EdgeSettings, signals: asyncio.Queue[int]) -> bool:
    drain = asyncio.ensure_future(edge.drain(settings.grace, settings.drain_delay))
    second = asyncio.ensure_future(signals.get())
    done, pending = await asyncio.wait({drain, second}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    return drain in done and drain.result()
