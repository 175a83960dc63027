"""The variables that are set for a function. Values of secrets go in and never come out."""

from __future__ import annotations

from aiohttp import web

from dialback_invoker.control import models
from dialback_invoker.control.ports import Services
from dialback_invoker.control.requests import read_json
from dialback_invoker.control.routing import Route, answer
from dialback_invoker.names import check_name
from dialback_invoker.secrets.environments import Wanted
from dialback_invoker.secrets.variables import LAMBDA_BYTES


def environment_routes(services: Services) -> list[Route]:
    """Routes of functions' variables. A function need not be deployed yet: it may need them to be loaded at all."""
    environments = services.environments

    async def show(request: web.Request) -> web.Response:
        return answer(_view(services, check_name(request.match_info["name"])))

    async def change(request: web.Request) -> web.Response:
        name = check_name(request.match_info["name"])
        wanted = await read_json(request, models.EnvironmentChange)
        put = {variable: Wanted(given.value, given.secret) for variable, given in wanted.put.items()}
        active = services.registry.resolve(name)
        await environments.change(name if active is None else active.function, put, wanted.remove)
        return answer(_view(services, name))

    async def rotate(_: web.Request) -> web.Response:
        return answer(models.Rotated(secrets=await environments.rotate()))

    path = "/v1/functions/{name}/environment"
    return [
        Route("GET", path, "getEnvironment", "A function's variables", show, models.Environment),
        Route(
            "PATCH", path, "changeEnvironment", "Set and remove variables; the next requests get new workers", change,
            models.Environment, body=models.EnvironmentChange, errors=(404, 413, 415, 507),
        ),
        Route("POST", "/v1/secrets/rotate", "rotateSecrets", "Seal all secrets with a new key", rotate, models.Rotated),
    ]  # fmt: skip


def _view(services: Services, name: str) -> models.Environment:
    active = services.registry.resolve(name)
    own = services.environments.names(name)
    said = {} if active is None else active.config.env
    overridden = {variable.name for variable in own}
    listed = [
        models.Variable(
            name=each.name,
            kind="secret" if each.secret else "plain",
            value=None if each.secret else each.value,
            set_at=each.set_at,
        )
        for each in own
    ]
    listed += [
        models.Variable(name=key, kind="file", value=value, overridden=key in overridden) for key, value in said.items()
    ]
    total = services.environments.bytes_of(name)
    return models.Environment(
        name=name if active is None else active.function,
        deployed=active is not None,
        variables=sorted(listed, key=lambda each: (each.name, each.kind)),
        bytes=total,
        fits_lambda=total <= LAMBDA_BYTES,
    )
