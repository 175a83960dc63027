"""Invocations: those in flight from the platform, those that ended from the store."""

from __future__ import annotations

from aiohttp import web

from dialback_invoker.control import models
from dialback_invoker.control.ports import Services
from dialback_invoker.control.requests import read_query
from dialback_invoker.control.routing import Route, answer_raw
from dialback_invoker.errors import NotFound
from dialback_invoker.names import check_name, name_key
from dialback_invoker.store.port import Trace
from dialback_wire.ids import is_id

_DETAILS = frozenset(models.Trace.model_fields) - frozenset(models.Summary.model_fields)


def summary(trace: Trace) -> Trace:
    """A trace without its details."""
    return {key: value for key, value in trace.items() if key not in _DETAILS}


def invocation_routes(services: Services) -> list[Route]:
    """Routes below /v1/invocations."""

    async def list_some(request: web.Request) -> web.Response:
        query = read_query(request, models.InvocationQuery)
        if query.function is not None:
            check_name(query.function)
        if query.live:
            live = [
                summary(trace)
                for trace in services.platform.live_invocations()
                if query.function is None or name_key(trace["function"]) == name_key(query.function)
            ]
            return answer_raw({"invocations": live[: query.limit]})
        await services.recorder.flush()
        return answer_raw({"invocations": await services.store.invocations(query.function, query.limit)})

    async def show(request: web.Request) -> web.Response:
        wanted = request.match_info["id"]
        trace = services.platform.live_invocation(wanted)
        if trace is None and (wanted == "last" or is_id(wanted)):
            await services.recorder.flush()
            trace = await services.store.invocation(wanted)
        if trace is None:
            what = "no invocation was recorded yet" if wanted == "last" else f"there is no invocation {wanted[:64]!r}"
            raise NotFound(what, code="invocation_not_found")
        return answer_raw(trace)

    return [
        Route(
            "GET", "/v1/invocations", "listInvocations", "Invocations, newest first", list_some, models.Invocations,
            query=models.InvocationQuery,
        ),
        Route(
            "GET", "/v1/invocations/{id}", "getInvocation", "One invocation's trace; the id may be 'last'", show,
            models.Trace, errors=(404,),
        ),
    ]  # fmt: skip
