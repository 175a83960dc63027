"""Runs: a request that the platform makes to itself, reported event by event (Server-Sent Events)."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from aiohttp import web

from dialback_invoker.control import models
from dialback_invoker.control.chosen import chosen_deployment
from dialback_invoker.control.functions import known_function
from dialback_invoker.control.ports import Mode, Services
from dialback_invoker.control.requests import read_json
from dialback_invoker.control.routing import Route
from dialback_invoker.control.runner import Outgoing, Runner
from dialback_invoker.control.sse import SSE, event
from dialback_invoker.deployment import Deployment
from dialback_invoker.store.port import Trace


def run_routes(services: Services) -> list[Route]:
    """The route /v1/runs."""

    async def run(request: web.Request) -> web.StreamResponse:
        wanted = await read_json(request, models.RunRequest)
        active = known_function(services, wanted.function)
        deployment = await chosen_deployment(services, active, wanted.deployment)
        outgoing = Outgoing(
            wanted.method,
            f"/@{active.function}{wanted.path}",
            tuple(wanted.headers.items()),
            wanted.body.encode("utf-8", "surrogatepass"),
        )
        response = web.StreamResponse(headers={"Content-Type": SSE})
        await relay_run(services, request, response, outgoing, active.function, wanted.mode, deployment)
        return response

    return [
        Route(
            "POST", "/v1/runs", "run", "Make a request in a mode and watch it", run, models.RunEvent,
            produces=SSE, body=models.RunRequest, errors=(404, 413, 415),
        ),
    ]  # fmt: skip


async def relay_run(
    services: Services,
    request: web.Request,
    response: web.StreamResponse,
    outgoing: Outgoing,
    function: str,
    mode: Mode,
    deployment: Deployment | None,
    *,
    first: dict[str, Any] | None = None,
) -> Trace | None:
    """Make the request and write what happens to ``response``, after the event ``plan`` with ``first`` if it is given;
    returns its trace, which was the last event, if there is one.
    """
    platform = services.platform
    facts = platform.facts()
    ticket = platform.mint_ticket(function, mode, deployment)
    feed = platform.subscribe_run(ticket)
    runner = Runner(outgoing, facts.edge_url or facts.public_url, ticket, feed)
    try:
        await response.prepare(request)
        if first is not None:
            await response.write(event("plan", first))
        async with aclosing(runner.events()) as events:
            async for name, data in events:
                await response.write(event(name, data))
        trace = await _trace(services, runner.invocation)
        if trace is not None:
            await response.write(event("trace", trace))
        return trace
    finally:
        feed.close()


async def _trace(services: Services, invocation: str | None) -> Trace | None:
    if invocation is None:
        return None
    await services.recorder.flush()
    return await services.store.invocation(invocation) or services.platform.live_invocation(invocation)
