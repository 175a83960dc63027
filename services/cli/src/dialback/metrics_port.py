"""A port of its own for `/metrics`, for scrapers that cannot or should not reach the control port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

from aiohttp import web
from aiohttp.typedefs import Handler

from dialback.address import TcpAddress, bracketed
from dialback.errors import cannot_listen
from dialback_invoker.control.guard import LOOPBACK
from dialback_invoker.control.metrics import metrics_routes
from dialback_invoker.metrics.exposition import PATH, Exposition

_SHUTDOWN = 1.0  # seconds that a scrape in flight gets at a stop


@dataclass(slots=True)
class Metrics:
    """What is told, and where: `url` is empty when no port was asked for."""

    exposition: Exposition = field(default_factory=Exposition)
    url: str = ""


@asynccontextmanager
async def metrics_port(address: TcpAddress | None) -> AsyncIterator[Metrics]:
    """Serve `/metrics` until the end, when there is an address; port 0 picks one. Raises StartProblem."""
    metrics = Metrics()
    if address is None:
        yield metrics
        return
    app = web.Application(middlewares=[_named_here] if _is_loopback(address.host) else [])
    app.router.add_routes(metrics_routes(metrics.exposition))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address.host, address.port).start()
        except OSError as error:
            raise cannot_listen(error, address.host, address.port, "--metrics") from error
        host, port = runner.addresses[0][:2]
        metrics.url = f"http://{bracketed(host)}:{port}{PATH}"
        yield metrics
    finally:
        await runner.cleanup()


@web.middleware
async def _named_here(request: web.Request, handler: Handler) -> web.StreamResponse:
    """On loopback only loopback's names are answered: a page whose name points here (DNS rebinding) gets nothing."""
    name = request.host.lower()
    name = name.partition("]")[0] + "]" if name.startswith("[") else name.partition(":")[0]
    if name not in LOOPBACK:
        raise web.HTTPForbidden(text="this Host is not one that /metrics answers to\n")
    return await handler(request)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
