"""Deployments: upload a bundle, list versions, let an earlier one serve again."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from dialback_invoker.control import models
from dialback_invoker.control.deploy_events import accepts_lines, answer_with_progress
from dialback_invoker.control.functions import known_function
from dialback_invoker.control.ports import Services
from dialback_invoker.control.requests import read_json
from dialback_invoker.control.routing import Route, answer
from dialback_invoker.deploy.deployer import Deployed
from dialback_invoker.deployment import Deployment
from dialback_invoker.environments.builder import Tell
from dialback_invoker.errors import BundleTooLarge, UnsupportedMedia
from dialback_invoker.names import check_name
from dialback_invoker.paths import from_os_error

MEDIA_TYPES: Final = ("application/gzip", "application/x-gzip", "application/zip", "application/x-zip-compressed")


def deployment_routes(services: Services) -> list[Route]:
    """Routes of a function's deployments."""
    limit = services.deployer.limits.packed

    async def deploy(request: web.Request) -> web.StreamResponse:
        name = check_name(request.match_info["name"])
        if request.content_type not in MEDIA_TYPES:
            raise UnsupportedMedia("a bundle is a tar.gz (application/gzip) or a zip (application/zip)")
        if (request.content_length or 0) > limit:
            raise BundleTooLarge(f"the bundle is larger than {limit} bytes")
        upload = services.deployer.upload_path()

        async def work(tell: Tell) -> models.Deployed:
            return _deployed(services, await services.deployer.deploy(name, upload, tell))

        try:
            await _save(request, upload, limit)
            if accepts_lines(request):
                return await answer_with_progress(request, work, status=201)
            return answer(await work(lambda _: None), status=201)
        finally:
            # At once: a client that has left cancels this, and what is waited for here would not happen.
            upload.unlink(missing_ok=True)

    async def list_all(_: web.Request) -> web.Response:
        return answer(await _views(services, services.registry.all()))

    async def list_one(request: web.Request) -> web.Response:
        return answer(await _views(services, [known_function(services, request.match_info["name"])]))

    async def rollback(request: web.Request) -> web.StreamResponse:
        name = known_function(services, request.match_info["name"]).function
        wanted = (await read_json(request, models.RollbackRequest)).deployment

        async def work(tell: Tell) -> models.Deployed:
            return _deployed(services, await services.deployer.rollback(name, wanted, tell))

        if accepts_lines(request):
            return await answer_with_progress(request, work, status=200)
        return answer(await work(lambda _: None))

    one = "/v1/functions/{name}"
    return [
        Route(
            "POST", f"{one}/deployments", "deploy", "Deploy a bundle: code and dialback.toml", deploy, models.Deployed,
            status=201, consumes=MEDIA_TYPES, or_lines=models.DeployEvent, errors=(409, 413, 415, 504, 507),
        ),
        Route(
            "GET", f"{one}/deployments", "listDeployments", "A function's versions", list_one, models.Deployments,
            errors=(404,),
        ),
        Route(
            "POST", f"{one}/rollback", "rollback", "Let an earlier deployment serve again", rollback, models.Deployed,
            body=models.RollbackRequest, or_lines=models.DeployEvent, errors=(404, 409, 413, 415, 504, 507),
        ),
        Route("GET", "/v1/deployments", "listAllDeployments", "Every version of every function", list_all,
              models.Deployments),
    ]  # fmt: skip


def _deployed(services: Services, deployed: Deployed) -> models.Deployed:
    deployment = deployed.deployment
    return models.Deployed(
        name=deployment.function,
        deployment=deployment.id,
        kind=deployment.kind,
        entry=deployment.entry,
        urls=list(services.platform.urls(deployment.function)),
        unchanged=deployed.unchanged,
        environment=_environment(services, deployment.environment),
    )


async def _views(services: Services, functions: Sequence[Deployment]) -> models.Deployments:
    running = {worker.deployment for worker in services.platform.workers()}
    views: list[models.Deployment] = []
    for active in functions:
        found = await services.store.deployments(active.function)
        views += [_view(services, deployment, active, running) for deployment in found]
    return models.Deployments(deployments=views)


def _view(
    services: Services, deployment: Deployment, active: Deployment, running: Collection[str]
) -> models.Deployment:
    return models.Deployment(
        deployment=deployment.id,
        name=deployment.function,
        kind=deployment.kind,
        entry=deployment.entry,
        mode=deployment.config.mode,
        bundle=deployment.bundle,
        created_at=deployment.created_at,
        active=deployment.id == active.id,
        running=deployment.id in running,
        size=deployment.size,
        environment=_environment(services, deployment.environment),
    )


def _environment(services: Services, key: str) -> models.Environment | None:
    if not key:
        return None
    found = services.deployer.environments.of(key)
    if found is None:
        return models.Environment(key=key, python=None, source=None, packages={}, size=None)
    packages = {each.name: each.version for each in found.packages}
    return models.Environment(key=key, python=found.python, source=found.source, packages=packages, size=found.size)


async def _save(request: web.Request, path: Path, limit: int) -> None:
    """Write the body to ``path`` as it comes; the disk is waited for off the loop's thread."""
    size = 0
    try:
        with await asyncio.to_thread(path.open, "xb") as file:
            async for piece in request.content.iter_chunked(256 * 1024):
                size += len(piece)
                if size > limit:
                    raise BundleTooLarge(f"the bundle is larger than {limit} bytes")
                await asyncio.to_thread(file.write, piece)
    except OSError as error:
        raise from_os_error(error, "the bundle cannot be kept") from error
