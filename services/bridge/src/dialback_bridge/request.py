"""The request that `fetch(request)` and `GET(request)` get."""

from __future__ import annotations

import functools
import json
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any
from urllib.parse import parse_qs, parse_qsl

from .context import from_anywhere
from .event import HttpRequest
from .exchange import AnswerError, Exchange
from .handlers.threads import LoopCaller
from .headers import Headers

MAX_WHOLE = 100 * 1024 * 1024
"""Bytes of a body that `body()`, `text()` and `json()` collect; larger ones are to be read by `stream()`."""


class BodyStream:
    """The parts of a request's body as they come: for `async for`, and in synchronous code for `for`.

    The client is asked for more only when what came was taken. Raises ClientGone, an OSError, when the rest will not
    come: a body that was cut short never looks like one that ended.
    """

    def __init__(self, exchange: Exchange, call: LoopCaller) -> None:
        self._exchange = exchange
        self._call = call

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while part := await self._call.wait(self._exchange.read):
            yield part

    def __iter__(self) -> Iterator[bytes]:
        while part := self._call(self._exchange.read()):
            yield part


class Request:
    """One HTTP request. `body()`, `text()` and `json()` are awaited in asynchronous code and simply called in other.

    Made by the bridge on its loop.
    """

    def __init__(self, http: HttpRequest, exchange: Exchange) -> None:
        self.method = http.method
        self.root_path = http.root_path
        """The prefix below which the function was reached, as `/@hello`; empty when there is none."""
        self.path = http.path[len(http.root_path) :] or "/"
        """The path behind that prefix, decoded."""
        self.query_string = http.query.decode("latin-1")
        self.client = http.client[0] if http.client else None
        """The client's address."""
        self._http = http
        self._exchange = exchange
        self._call = LoopCaller()
        self._body: bytes | None = None

    @functools.cached_property
    def headers(self) -> Headers:
        """The header fields."""
        return Headers.of(self._http.headers)

    @functools.cached_property
    def url(self) -> str:
        """The whole URL as the client asked for it, prefix included, percent-encoded."""
        http = self._http
        authority = self.headers.get("host") or "localhost"
        query = http.query.decode("latin-1")
        return f"{http.scheme}://{authority}{http.raw_path.decode('latin-1')}{'?' if query else ''}{query}"

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; of those that come several times, the last. `query_list` has them all."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    @property
    def query_list(self) -> dict[str, list[str]]:
        """The query's parameters, each with all of its values."""
        return parse_qs(self.query_string, keep_blank_values=True)

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies by their names; of those that come several times, the first, as the more specific (RFC 6265)."""
        found: dict[str, str] = {}
        for pair in self.headers.get("cookie", "").split(";"):
            name, equals, value = pair.strip().partition("=")
            if equals:
                found.setdefault(name, value.strip('"'))
        return found

    def body(self) -> Any:
        """The whole body in bytes, collected once. Raises ClientGone; a body beyond `MAX_WHOLE` is answered 413."""
        return self._anywhere(self._collect())

    def text(self) -> Any:
        """The whole body as a str, by the charset of its content type, UTF-8 without one."""
        return self._anywhere(self._text())

    def json(self) -> Any:
        """The whole body as JSON. Raises ValueError for one that is none."""
        return self._anywhere(self._json())

    def stream(self) -> BodyStream:
        """The body's parts as they come."""
        if self._body is not None:
            raise RuntimeError("the request's body was already read")
        return BodyStream(self._exchange, self._call)

    def _anywhere(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return from_anywhere(self._call.loop, coroutine)

    async def _collect(self) -> bytes:
        if self._body is None:
            parts, size = [], 0
            while part := await self._exchange.read():
                parts.append(part)
                size += len(part)
                if size > MAX_WHOLE:
                    raise AnswerError(413, "body_too_large", f"bodies are collected up to {MAX_WHOLE} bytes")
            self._body = b"".join(parts)
        return self._body

    async def _text(self) -> str:
        charset = "utf-8"
        for parameter in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = parameter.strip().partition("=")
            if name.lower() == "charset":
                charset = value.strip('"')
        try:
            return (await self._collect()).decode(charset, "replace")
        except LookupError:
            return (await self._collect()).decode("utf-8", "replace")

    async def _json(self) -> Any:
        return json.loads(await self._collect())

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url}>"
