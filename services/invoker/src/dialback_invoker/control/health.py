"""Health, for supervisors, and the facts of the platform, for people."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web

from dialback_invoker.control import models
from dialback_invoker.control.ports import Services
from dialback_invoker.control.routing import Route, answer


def health_routes(services: Services) -> list[Route]:
    """The routes /_dialback/health and /v1/platform."""

    async def health(_: web.Request) -> web.Response:
        state = services.platform.state()
        return answer(models.Health(status=state), status=200 if state == "ready" else 503)

    async def platform(_: web.Request) -> web.Response:
        return answer(models.Platform.model_validate(asdict(services.platform.facts())))

    return [
        Route(
            "GET", "/_dialback/health", "getHealth", "Whether requests are served", health, models.Health,
            errors=(503,), public=True,
        ),
        Route("GET", "/v1/platform", "getPlatform", "The platform itself", platform, models.Platform),
    ]  # fmt: skip
