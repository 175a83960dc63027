"""The response that `fetch(request)` and `GET(request)` return."""

from __future__ import annotations

import json as jsons
from collections.abc import AsyncIterable, Iterable
from typing import Any

from .headers import Headers, Pairs

JSON = "application/json"


class Response:
    """A status, header fields and a body.

    `body`: None, bytes, str (UTF-8), a dict or list (JSON), or something to iterate over, asynchronously or not, whose
    items are sent as they come: str, bytes, and anything else as a line of JSON.

    The content type is the one in `headers`; without one, it follows from the body. That of an iterable follows from
    its first item, so that the head waits for that; state a content type to have the head leave at once.
    """

    def __init__(self, body: Any = None, status: int = 200, headers: Pairs | None = None) -> None:
        if not (body is None or isinstance(body, (bytes, bytearray, memoryview, str, dict, list)) or is_stream(body)):
            raise TypeError(f"a response's body cannot be of type {type(body).__name__}")
        self.body = body
        self.status = status
        self.headers = Headers(headers)

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: Pairs | None = None) -> Response:
        """Any value as JSON. Raises TypeError or ValueError for one that JSON cannot tell."""
        response = cls(jsons.dumps(value, ensure_ascii=False, separators=(",", ":")), status, headers)
        response.headers.setdefault("content-type", JSON)
        return response

    @classmethod
    def html(cls, text: str, status: int = 200, headers: Pairs | None = None) -> Response:
        """A page."""
        response = cls(text, status, headers)
        response.headers.setdefault("content-type", "text/html; charset=utf-8")
        return response

    @classmethod
    def redirect(cls, url: str, status: int = 302) -> Response:
        """Send the client elsewhere."""
        return cls(None, status, {"location": url})

    @property
    def streams(self) -> bool:
        """Whether the body is sent item by item."""
        return is_stream(self.body)

    def whole(self) -> bytes:
        """The body of a response that does not stream; states its content type. Raises TypeError for a bad value."""
        if self.body is None:
            return b""
        if isinstance(self.body, str):
            self.headers.setdefault("content-type", "text/plain; charset=utf-8")
            return self.body.encode("utf-8", "replace")
        if isinstance(self.body, (dict, list)):
            self.headers.setdefault("content-type", JSON)
            return jsons.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        self.headers.setdefault("content-type", "application/octet-stream")
        return bytes(self.body)

    def __repr__(self) -> str:
        return f"<Response {self.status}>"


def is_stream(body: Any) -> bool:
    """Whether `body` is one to iterate over."""
    # A tuple is none: in other places it means a body and a status, and here it would become two lines of JSON.
    if isinstance(body, (bytes, bytearray, memoryview, str, dict, list, tuple)):
        return False
    return isinstance(body, (AsyncIterable, Iterable))


def as_response(value: Any) -> Response:
    """What user code returned, as a response: a Response as it is, None as a 204, anything else as a body.

    Raises TypeError for what is neither.
    """
    if isinstance(value, Response):
        return value
    return Response(None, 204) if value is None else Response(value)
