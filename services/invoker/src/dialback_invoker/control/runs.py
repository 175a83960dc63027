"""Runs: a request that the platform makes to itself, reported event by event (Server-Sent Events)."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any, Final

import msgspec
from aiohttp import web

from dialback_invoker.control import models
from dialback_invoker.control.functions import known_function
from dialback_invoker.control.ports import Services
from dialback_invoker.control.requests import read_json
from dialback_invoker.control.routing import Route
from dialback_invoker.control.runner import Runner

SSE: Final = "text/event-stream"


def run_routes(services: Services) -> list[Route]:
    """The route /v1/runs."""
    platform = services.platform

    async def run(request: web.Request) -> web.StreamResponse:
        wanted = await read_json(request, models.RunRequest)
        function = known_function(services, wanted.function).function
        facts = platform.facts()
        ticket = platform.mint_ticket(function, wanted.mode)
        feed = platform.subscribe_run(ticket)
        runner = Runner(wanted, function, facts.edge_url or facts.public_url, ticket, feed)
        try:
            response = web.StreamResponse(headers={"Content-Type": SSE})
            await response.prepare(request)
            async with aclosing(runner.events()) as events:
                async for name, data in events:
                    await response.write(_event(name, data))
            if (trace := await _trace(runner.invocation)) is not None:
                await response.write(_event("trace", trace))
        finally:
            feed.close()
        return response

    async def _trace(invocation: str | None) -> dict[str, Any] | None:
        if invocation is None:
            return None
        await services.recorder.flush()
        return await services.store.invocation(invocation) or platform.live_invocation(invocation)

    return [
        Route(
            "POST", "/v1/runs", "run", "Make a request in a mode and watch it", run, models.RunEvent,
            produces=SSE, body=models.RunRequest, errors=(404, 413, 415),
        ),
    ]  # fmt: skip


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"
