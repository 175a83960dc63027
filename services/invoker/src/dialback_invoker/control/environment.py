"""The variables that are set for a function. Values of secrets go in and never come out."""

from __future__ import annotations

from aiohttp import web

from dialback_invoker.control import models
from dialback_invoker.control.ports import Services
from dialback_invoker.control.requests import read_json
from dialback_invoker.control.routing import Route, answer
from dialback_invoker.names import check_name
from dialback_invoker.secrets.book import Wanted
from dialback_invoker.secrets.variables import LAMBDA_BYTES


def environment_routes(services: Services) -> list[Route]:
    """Routes of functions' variables. A function need not be deployed yet: it may need them to be loaded at all."""
    book = services.variables

    async def show(request: web.Request) -> web.Response:
        return answer(_view(services, check_name(request.match_info["name"])))

    async def change(request: web.Request) -> web.Response:
        name = check_name(request.match_info["name"])
        wanted = await read_json(request, models.VariablesChange)
        put = {variable: Wanted(given.value, given.secret) for variable, given in wanted.put.items()}
        active = services.registry.resolve(name)
        await book.change(name if active is None else active.function, put, wanted.remove)
        return answer(_view(services, name))

    async def rotate(_: web.Request) -> web.Response:
        return answer(models.Rotated(secrets=await book.rotate()))

    path = "/v1/functions/{name}/environment"
    return [
        Route("GET", path, "getEnvironment", "A function's variables", show, models.FunctionVariables),
        Route(
            "PATCH", path, "changeEnvironment", "Set and remove variables; the next requests get new workers", change,
            models.FunctionVariables, body=models.VariablesChange, errors=(404, 413, 415, 507),
        ),
        Route("POST", "/v1/secrets/rotate", "rotateSecrets", "Seal all secrets with a new key", rotate, models.Rotated),
    ]  # fmt: skip


def _view(services: Services, name: str) -> models.FunctionVariables:
    active = services.registry.resolve(name)
    own = services.variables.names(name)
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
    total = services.variables.bytes_of(name)
    return models.FunctionVariables(
        name=name if active is None else active.function,
        deployed=active is not None,
        variables=sorted(listed, key=lambda each: (each.name, each.kind)),
        bytes=total,
        fits_lambda=total <= LAMBDA_BYTES,
    )
