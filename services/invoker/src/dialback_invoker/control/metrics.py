"""/metrics, for Prometheus. Without the token: that one deploys code, and a scraper should not have to hold it.

What is told are names of functions and numbers. Foreign hosts and origins are refused as everywhere on this port, so
that no page in a browser reads it.
"""

from __future__ import annotations

from aiohttp import hdrs, web

from dialback_invoker.metrics.exposition import PATH, Exposition


def metrics_routes(exposition: Exposition) -> list[web.RouteDef]:
    """The route."""

    async def metrics(request: web.Request) -> web.Response:
        body, content_type = await exposition.text(request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    return [web.get(PATH, metrics)]
