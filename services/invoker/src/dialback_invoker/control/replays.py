"""Replays: a recorded request is made again, to a deployment and in a mode of the asker's choice, and compared."""

from __future__ import annotations

from typing import Any, get_args

from aiohttp import web

from dialback_invoker.control import models
from dialback_invoker.control.chosen import chosen_deployment
from dialback_invoker.control.functions import known_function
from dialback_invoker.control.invocations import summary
from dialback_invoker.control.ports import Mode, Services
from dialback_invoker.control.requests import read_json
from dialback_invoker.control.routing import Route
from dialback_invoker.control.runner import Outgoing
from dialback_invoker.control.runs import relay_run
from dialback_invoker.control.sse import SSE, event
from dialback_invoker.errors import Conflict, NotFound
from dialback_invoker.recorded_request import body_of
from dialback_invoker.store.port import Trace
from dialback_wire.ids import is_id

_LOOKED_AT = 200
"""Invocations among which the last one is looked for that can be replayed."""
_DIFFER = ("status", "verdict", "first_byte_ms", "total_ms", "bytes_out", "chunks")


def replay_routes(services: Services) -> list[Route]:
    """The route /v1/invocations/{id}/replay."""

    async def replay(request: web.Request) -> web.StreamResponse:
        wanted = await read_json(request, models.ReplayRequest)
        before = await _recorded(services, request.match_info["id"])
        outgoing = again(before, wanted.headers)
        active = known_function(services, before["function"])
        deployment = await chosen_deployment(services, active, wanted.deployment)
        mode = wanted.mode or _mode(before["mode"])
        plan: dict[str, Any] = {
            "original": summary(before),
            "deployment": (deployment or active).id,
            "active": deployment is None,
            "mode": mode,
            "left_out": [name for name in before["request"]["left_out"] if name not in _names(wanted.headers)],
        }
        response = web.StreamResponse(headers={"Content-Type": SSE})
        after = await relay_run(services, request, response, outgoing, active.function, mode, deployment, first=plan)
        if after is not None:
            await response.write(event("comparison", comparison(before, after)))
        return response

    return [
        Route(
            "POST", "/v1/invocations/{id}/replay", "replay", "Make a recorded request again, and compare", replay,
            models.ReplayEvent, produces=SSE, body=models.ReplayRequest, errors=(404, 409, 413, 415),
        ),
    ]  # fmt: skip


async def _recorded(services: Services, invocation: str) -> Trace:
    if invocation != "last" and services.platform.live_invocation(invocation) is not None:
        raise Conflict("this invocation still runs; it can be replayed once it is over", code="still_running")
    await services.recorder.flush()
    wanted = await _last(services) if invocation == "last" else invocation
    trace = await services.store.invocation(wanted) if wanted == "last" or is_id(wanted) else None
    if trace is None:
        raise NotFound(f"there is no invocation {invocation[:64]!r}", code="invocation_not_found")
    return trace


async def _last(services: Services) -> str:
    """The last invocation of a function that is still there: what a check's probe was asked cannot be asked again."""
    recent = await services.store.invocations(limit=_LOOKED_AT)
    there = {deployment.function for deployment in services.registry.all()}
    return next((str(each["id"]) for each in recent if each["function"] in there), "last")


def again(trace: Trace, headers: dict[str, str]) -> Outgoing:
    """The recorded request, with ``headers`` added or in place of its own. Raises Conflict when it cannot be made."""
    record = trace["request"]
    if not trace["function"]:
        raise Conflict("this request reached no function; there is nothing to replay", code="not_replayable")
    if record is None:
        raise Conflict(
            "only a summary of this invocation was kept, because too many ended in the same second; its request is not"
            " there to be replayed",
            code="request_not_kept",
        )
    body = body_of(record)
    if body is None:
        raise Conflict(
            "the body of this request was not kept: bodies are kept up to 64 KiB, and only where they did not stream."
            " It cannot be replayed",
            code="body_not_kept",
        )
    if not record["target"].startswith("/"):
        raise Conflict(f"a request for {record['target'][:64]!r} cannot be replayed", code="not_replayable")
    given = _names(headers)
    kept = [(name, value) for name, value in record["headers"] if name not in given]
    return Outgoing(record["method"], record["target"], (("host", record["authority"]), *kept, *headers.items()), body)


def comparison(before: Trace, after: Trace) -> dict[str, Any]:
    """What is different the second time: for each measure both values, ``after`` minus ``before`` where they are
    numbers, and whether the bodies were the same.
    """
    measures: dict[str, Any] = {}
    for name in _DIFFER:
        old, new = before.get(name), after.get(name)
        measures[name] = {"before": old, "after": new}
        if name.endswith("_ms") and old is not None and new is not None:
            measures[name]["difference"] = round(new - old, 3)
    return {"measures": measures, "body": _bodies(before, after)}


def _bodies(before: Trace, after: Trace) -> str:
    """``same``, ``different``, or ``unknown``. Beyond the first mebibyte ``same`` means the same length."""
    if before["bytes_out"] != after["bytes_out"]:
        return "different"
    old, new = before.get("answer"), after.get("answer")
    if old is None or new is None:
        return "unknown"
    return "same" if old["crc32"] == new["crc32"] else "different"


def _names(headers: dict[str, str]) -> set[str]:
    return {name.lower() for name in headers}


def _mode(recorded: str) -> Mode:
    for mode in get_args(Mode):
        if mode == recorded:
            return mode  # type: ignore[no-any-return]
    raise Conflict(f"this version does not serve the mode {recorded!r}", code="mode_not_served")
