"""Logs of a function, as one JSON object a line; with ``follow`` the answer goes on until the asker leaves."""

from __future__ import annotations

import contextlib

from aiohttp import web

from dialback_invoker.control import models
from dialback_invoker.control.functions import known_function
from dialback_invoker.control.ports import Services
from dialback_invoker.control.requests import read_query
from dialback_invoker.control.routing import NDJSON, Route
from dialback_invoker.errors import InvalidInput
from dialback_invoker.store.port import LogLine


def log_routes(services: Services) -> list[Route]:
    """The route /v1/functions/{name}/logs."""

    async def read(request: web.Request) -> web.StreamResponse:
        name = known_function(services, request.match_info["name"]).function
        query = read_query(request, models.LogQuery)
        if query.follow and query.invocation:
            raise InvalidInput("a follow is of a whole function; ask for an invocation's lines without follow")
        if not query.follow:
            lines = await services.logs.read(name, since=query.since, limit=query.limit, invocation=query.invocation)
            return web.Response(body=b"".join(map(_encoded, lines)), content_type=NDJSON)
        response = web.StreamResponse(headers={"Content-Type": NDJSON})
        await response.prepare(request)
        async with contextlib.aclosing(
            services.logs.follow(name, since=query.since, limit=query.limit)
        ) as lines_coming:
            async for line in lines_coming:
                await response.write(_encoded(line))
        return response

    return [
        Route(
            "GET", "/v1/functions/{name}/logs", "readLogs", "What a function printed", read, models.LogEntry,
            produces=NDJSON, query=models.LogQuery, errors=(404,),
        ),
    ]  # fmt: skip


def _encoded(line: LogLine) -> bytes:
    entry = models.LogEntry.model_construct(
        at=line.at,
        function=line.function,
        worker=line.worker,
        invocation=line.invocation,
        stream=line.stream,
        level=line.level,
        line=line.line,
    )
    return entry.model_dump_json().encode() + b"\n"
