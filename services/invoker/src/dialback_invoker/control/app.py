"""Composes the control API: routes, guard, page, documentation."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from aiohttp import web

from dialback_invoker.control.access import ControlToken
from dialback_invoker.control.deployments import deployment_routes
from dialback_invoker.control.environment import environment_routes
from dialback_invoker.control.events import event_routes
from dialback_invoker.control.functions import function_routes
from dialback_invoker.control.guard import LOOPBACK, envelope, guard, label
from dialback_invoker.control.health import health_routes
from dialback_invoker.control.invocations import invocation_routes
from dialback_invoker.control.logs import log_routes
from dialback_invoker.control.metrics import metrics_routes
from dialback_invoker.control.openapi import openapi_document
from dialback_invoker.control.page import FOLDER, page_routes
from dialback_invoker.control.ports import Services
from dialback_invoker.control.replays import replay_routes
from dialback_invoker.control.routing import Route, answer_raw
from dialback_invoker.control.runs import run_routes
from dialback_invoker.control.tickets import ticket_routes
from dialback_invoker.control.workers import worker_routes


def api_routes(services: Services) -> list[Route]:
    """Every documented route."""
    return [
        *health_routes(services),
        *function_routes(services),
        *deployment_routes(services),
        *environment_routes(services),
        *worker_routes(services),
        *invocation_routes(services),
        *log_routes(services),
        *ticket_routes(services),
        *run_routes(services),
        *replay_routes(services),
        *event_routes(services),
    ]


def create_app(
    services: Services, token: ControlToken, *, hosts: Collection[str] = (), page: Path = FOLDER
) -> web.Application:
    """The control API as an aiohttp application. ``hosts`` are names besides loopback's that a Host header may have."""
    routes = api_routes(services)
    document = openapi_document(routes, services.platform.facts().version)

    async def openapi(_: web.Request) -> web.Response:
        return answer_raw(document)

    async def end_followers(_: web.Application) -> None:
        services.logs.end_followers()
        services.watchers.close()

    app = web.Application(middlewares=[envelope, guard(token, {*LOOPBACK, *hosts})])
    for route in routes:
        app.router.add_route(route.method, route.path, route.handler)
    app.router.add_get("/openapi.json", openapi)
    app.router.add_routes(metrics_routes(services.exposition))
    app.router.add_routes(page_routes(page))
    app.on_response_prepare.append(label)
    app.on_shutdown.append(end_followers)
    return app
