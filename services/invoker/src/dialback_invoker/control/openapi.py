"""The OpenAPI 3.1 document, made from the routes and the models that serve them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from dialback_invoker.control.models import ErrorAnswer, Health
from dialback_invoker.control.routing import JSON, NDJSON, Route

_MEANINGS: Final = {
    200: "Done",
    201: "Deployed",
    400: "Something in the request is wrong",
    401: "No token, or a wrong one",
    403: "A foreign Origin or Host",
    404: "There is no such thing",
    409: "It contradicts what is there",
    413: "Too large",
    415: "A body of a type that is not taken here",
    503: "Not ready",
    504: "It took too long",
    507: "The disk is full",
}
_REF: Final = "#/components/schemas/{model}"


def openapi_document(routes: Iterable[Route], version: str) -> dict[str, Any]:
    """The whole document; ``version`` is the platform's."""
    routes = list(routes)
    used: dict[type[BaseModel], None] = {ErrorAnswer: None}
    for route in routes:
        used.update({model: None for model in (route.answer, route.body, route.or_lines) if model is not None})
    references, schemas = models_json_schema([(model, "validation") for model in used], ref_template=_REF)
    names = {model: references[model, "validation"] for model in used}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, names)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Dialback control API",
            "version": version,
            "description": "What people and the command line ask a Dialback platform for.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The content of the file control.token in the data folder",
                }
            },
        },
    }


def _operation(route: Route, names: dict[type[BaseModel], Any]) -> dict[str, Any]:
    answers = {str(route.status): _answer(route.status, route.produces, names[route.answer])}
    if route.or_lines is not None:
        lines = _answer(200, NDJSON, names[route.or_lines])
        answers.setdefault("200", lines)["content"].update(lines["content"])
    usual = (403,) if route.public else (400, 401, 403)
    for status in sorted({*usual, *route.errors}):
        model = Health if route.answer is Health and status == 503 else ErrorAnswer
        answers[str(status)] = _answer(status, JSON, names[model])
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [*_path_parameters(route), *_query_parameters(route)],
        "responses": answers,
        "security": [] if route.public else [{"token": []}],
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": names[route.body]}}}
    elif route.consumes:
        operation["requestBody"] = {"required": True, "content": {media: {} for media in route.consumes}}
    return operation


def _answer(status: int, media: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": _MEANINGS[status], "content": {media: {"schema": schema}}}


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    properties = route.query.model_json_schema()["properties"]
    return [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in properties.items()]
