"""Reads what a request brings, strictly: type, size, shape. What is wrong is an error that names the field."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from dialback_invoker.errors import InvalidInput, PayloadTooLarge, UnsupportedMedia

M = TypeVar("M", bound=BaseModel)

LARGEST_JSON: Final = 1024 * 1024  # bytes


async def read_json(request: web.Request, model: type[M]) -> M:
    """The request's JSON body as ``model``. Raises UnsupportedMedia, PayloadTooLarge, InvalidInput (400)."""
    if request.content_type != "application/json":
        raise UnsupportedMedia("the body must be application/json")
    if (request.content_length or 0) > LARGEST_JSON:
        raise PayloadTooLarge(f"the body is larger than {LARGEST_JSON} bytes")
    raw = bytearray()
    async for piece in request.content.iter_any():
        raw += piece
        if len(raw) > LARGEST_JSON:
            raise PayloadTooLarge(f"the body is larger than {LARGEST_JSON} bytes")
    return _validated(model, _parsed(bytes(raw)))


def read_query(request: web.Request, model: type[M]) -> M:
    """The query as ``model``: unknown and repeated keys are refused. Raises InvalidInput (400)."""
    values: dict[str, str] = {}
    for key, value in request.query.items():
        if key in values:
            raise InvalidInput(f"the query has {key[:64]!r} twice")
        values[key] = value
    return _validated(model, values)


def _parsed(raw: bytes) -> object:
    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError as error:
        raise InvalidInput("the body is nested too deeply", code="invalid_json") from error
    except ValueError as error:  # not UTF-8, not JSON, a number of too many digits
        raise InvalidInput(f"the body is not JSON: {str(error)[:200]}", code="invalid_json") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same key twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _validated(model: type[M], values: object) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(str(part)[:64] for part in first["loc"])
        message = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
        raise InvalidInput(f"{field}: {message}" if field else message) from error
