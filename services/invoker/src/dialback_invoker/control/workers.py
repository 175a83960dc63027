"""Workers: what runs now."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web

from dialback_invoker.control import models
from dialback_invoker.control.ports import Services
from dialback_invoker.control.routing import Route, answer


def worker_routes(services: Services) -> list[Route]:
    """The route /v1/workers."""

    async def list_all(_: web.Request) -> web.Response:
        views = [models.Worker.model_validate(asdict(worker)) for worker in services.platform.workers()]
        return answer(models.Workers(workers=views))

    return [Route("GET", "/v1/workers", "listWorkers", "All workers", list_all, models.Workers)]
