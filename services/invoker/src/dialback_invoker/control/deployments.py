"""Deployments: upload a bundle, list a function's versions."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from aiohttp import web

from dialback_invoker.control import models
from dialback_invoker.control.functions import known_function
from dialback_invoker.control.ports import Services
from dialback_invoker.control.routing import Route, answer
from dialback_invoker.errors import BundleTooLarge, UnsupportedMedia
from dialback_invoker.names import check_name
from dialback_invoker.paths import from_os_error

MEDIA_TYPES: Final = ("application/gzip", "application/x-gzip", "application/zip", "application/x-zip-compressed")


def deployment_routes(services: Services) -> list[Route]:
    """Routes of a function's deployments."""
    limit = services.deployer.limits.packed

    async def deploy(request: web.Request) -> web.Response:
        name = check_name(request.match_info["name"])
        if request.content_type not in MEDIA_TYPES:
            raise UnsupportedMedia("a bundle is a tar.gz (application/gzip) or a zip (application/zip)")
        if (request.content_length or 0) > limit:
            raise BundleTooLarge(f"the bundle is larger than {limit} bytes")
        upload = services.deployer.upload_path()
        try:
            await _save(request, upload, limit)
            deployed = await services.deployer.deploy(name, upload)
        finally:
            await asyncio.to_thread(upload.unlink, missing_ok=True)
        deployment = deployed.deployment
        body = models.Deployed(
            name=deployment.function,
            deployment=deployment.id,
            kind=deployment.kind,
            entry=deployment.entry,
            urls=list(services.platform.urls(deployment.function)),
            unchanged=deployed.unchanged,
        )
        return answer(body, status=201)

    async def list_all(request: web.Request) -> web.Response:
        active = known_function(services, request.match_info["name"])
        found = await services.store.deployments(active.function)
        views = [
            models.Deployment(
                deployment=deployment.id,
                name=deployment.function,
                kind=deployment.kind,
                entry=deployment.entry,
                mode=deployment.config.mode,
                bundle=deployment.bundle,
                created_at=deployment.created_at,
                active=deployment.id == active.id,
            )
            for deployment in found
        ]
        return answer(models.Deployments(deployments=views))

    path = "/v1/functions/{name}/deployments"
    return [
        Route(
            "POST", path, "deploy", "Deploy a bundle: code and dialback.toml", deploy, models.Deployed,
            status=201, consumes=MEDIA_TYPES, errors=(409, 413, 415, 504, 507),
        ),
        Route("GET", path, "listDeployments", "A function's versions", list_all, models.Deployments, errors=(404,)),
    ]  # fmt: skip


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
