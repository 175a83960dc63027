"""Functions: list, look at, remove."""

from __future__ import annotations

from collections import Counter

from aiohttp import web

from dialback_invoker.control import models
from dialback_invoker.control.ports import Services
from dialback_invoker.control.routing import Route, answer
from dialback_invoker.deployment import Deployment
from dialback_invoker.errors import NotFound
from dialback_invoker.names import check_name, name_key


def known_function(services: Services, name: str) -> Deployment:
    """The active deployment of ``name``. Raises InvalidInput for what is no name, NotFound for an unknown one."""
    deployment = services.registry.resolve(check_name(name))
    if deployment is None:
        raise NotFound(f"there is no function {name!r}", code="function_not_found")
    return deployment


def function_routes(services: Services) -> list[Route]:
    """Routes below /v1/functions, but not those of deployments and logs."""

    async def list_all(_: web.Request) -> web.Response:
        return answer(models.Functions(functions=function_views(services, services.registry.all())))

    async def show(request: web.Request) -> web.Response:
        return answer(function_views(services, [known_function(services, request.match_info["name"])])[0])

    async def remove(request: web.Request) -> web.Response:
        removed = await services.deployer.remove(check_name(request.match_info["name"]))
        return answer(models.Removed(name=removed.function))

    one = "/v1/functions/{name}"
    return [
        Route("GET", "/v1/functions", "listFunctions", "All functions", list_all, models.Functions),
        Route("GET", one, "getFunction", "One function", show, models.Function, errors=(404,)),
        Route(
            "DELETE", one, "removeFunction", "Remove a function; running invocations end", remove, models.Removed,
            errors=(404,),
        ),
    ]  # fmt: skip


def function_views(services: Services, deployments: list[Deployment]) -> list[models.Function]:
    """Functions as the API shows them, by their active deployments."""
    workers: Counter[str] = Counter()
    in_flight: Counter[str] = Counter()
    for worker in services.platform.workers():
        workers[name_key(worker.function)] += 1
        in_flight[name_key(worker.function)] += worker.in_flight
    return [
        models.Function(
            name=deployment.function,
            deployment=deployment.id,
            kind=deployment.kind,
            entry=deployment.entry,
            mode=deployment.config.mode,
            launcher=deployment.config.launcher,
            created_at=deployment.created_at,
            urls=list(services.platform.urls(deployment.function)),
            workers=workers[name_key(deployment.function)],
            in_flight=in_flight[name_key(deployment.function)],
        )
        for deployment in deployments
    ]
