"""What every request to the control port passes: host, origin, token; and what every answer gets: id, headers, errors.

A page elsewhere can make a browser send requests here. It cannot read the token, it cannot hide its Origin, and a name
that it points at this address (DNS rebinding) shows in Host. The port is not compared: it is ours whatever it is called
outside a container.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from dialback_invoker.control.access import ControlToken
from dialback_invoker.control.routing import answer_raw
from dialback_invoker.errors import DialbackError, Forbidden, InvalidInput, Overloaded, Unauthorized
from dialback_wire.ids import RANDOM_BYTES, new_id

_log = logging.getLogger(__name__)

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
_GUARDED: Final = "/v1"
_ANSWERING: Final = web.RequestKey("answering", bool)


def guard(token: ControlToken, hosts: Collection[str]) -> Middleware:
    """Refuses foreign hosts and origins with 403, and what is below /v1 without the token with 401."""
    names = frozenset(_bracketed(host.lower()) for host in hosts)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = _only(request, hdrs.HOST) or ""
        if _host_name(host) not in names:
            raise Forbidden("this Host is not one that the control API answers to", code="foreign_host")
        origin = _only(request, hdrs.ORIGIN)
        if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
            raise Forbidden("requests from other origins are refused", code="foreign_origin")
        if _needs_token(request.path) and not token.opens(_only(request, hdrs.AUTHORIZATION)):
            raise Unauthorized("a control token is needed: Authorization: Bearer <content of control.token>")
        return await handler(request)

    return check


@web.middleware
async def envelope(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns errors into answers. The outermost layer: nothing of ours leaves without it."""
    try:
        return await handler(request)
    except Exception as error:
        if request.get(_ANSWERING):
            raise  # a stream broke: its end must not look like a proper one, and no second answer can follow
        return _answer_for(error, request)


def _answer_for(error: Exception, request: web.Request) -> web.Response:
    if isinstance(error, DialbackError):
        return _failure(error)
    if isinstance(error, web.HTTPException):
        code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(error.status, "bad_request")
        failure = _failure(DialbackError(code, error.reason, error.status))
        if hdrs.ALLOW in error.headers:
            failure.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
        return failure
    _log.error("the control API failed at %s %s", request.method, request.path, exc_info=error)
    return _failure(DialbackError("internal", "the platform failed; its log says how", 500))


async def label(request: web.Request, response: web.StreamResponse) -> None:
    """Headers of every answer, streams included (an ``on_response_prepare`` signal)."""
    request[_ANSWERING] = True
    response.headers["x-dialback-id"] = new_id(secrets.token_bytes(RANDOM_BYTES))
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"


def _failure(error: DialbackError) -> web.Response:
    response = answer_raw({"error": error.as_dict()}, status=error.http_status)
    if error.http_status == 401:
        response.headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="dialback"'
    if isinstance(error, Overloaded):
        response.headers[hdrs.RETRY_AFTER] = str(error.retry_after)
    return response


def _only(request: web.Request, name: str) -> str | None:
    values = request.headers.getall(name, [])
    if len(values) > 1:
        raise InvalidInput(f"the request has several {name} headers")
    return values[0] if values else None


def _needs_token(path: str) -> bool:
    return path == _GUARDED or path.startswith(_GUARDED + "/")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _host_name(host: str) -> str:
    host = host.lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
