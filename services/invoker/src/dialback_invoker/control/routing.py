"""A route with all that its documentation needs, so that what is served and what is documented cannot differ."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiohttp import web
from pydantic import BaseModel

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path. ``errors`` are the statuses beyond those that any route may answer."""

    method: str
    path: str
    name: str
    """the OpenAPI operationId"""
    summary: str
    handler: Handler
    answer: type[BaseModel]
    status: int = 200
    produces: str = JSON
    body: type[BaseModel] | None = None
    consumes: tuple[str, ...] = ()
    """media types of a body that is not JSON"""
    query: type[BaseModel] | None = None
    or_lines: type[BaseModel] | None = None
    """what each line holds when the asker accepts application/x-ndjson"""
    errors: tuple[int, ...] = ()
    public: bool = False
    """needs no token"""


def answer(model: BaseModel, status: int = 200) -> web.Response:
    """``model`` as a JSON answer."""
    return web.Response(body=model.model_dump_json().encode(), status=status, content_type=JSON)


def answer_raw(value: dict[str, Any], status: int = 200) -> web.Response:
    """A value that is JSON already, for example a stored trace."""
    return web.Response(body=_encode(value), status=status, content_type=JSON)
