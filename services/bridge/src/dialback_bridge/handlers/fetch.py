"""`fetch(request)`, and functions named after methods: `GET(request)`, `POST(request)`, ...

Either may be synchronous, asynchronous or a generator, and returns a `Response` or what could be the body of one. A
method that has no function is answered 405 with `Allow`, HEAD by `GET` without its body. A body that is iterated over
is closed when nobody wants the rest; synchronous ones in the thread in which they are advanced.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Callable
from typing import Any

from dialback_wire.fields import BODYLESS

from .. import lambda_values
from ..entry import is_async, signature_of
from ..event import EventError, http_request
from ..exchange import Exchange
from ..request import Request
from ..response import Response, as_response
from .base import Handler, HandlerFailed
from .items import content_type, encode, pull, pull_async
from .threads import LoopCaller, Threads

Function = Callable[..., Any]


class Called:
    """A function of the user's, and how it wants to be called. Looked at once: it takes longer than most requests."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.is_async = is_async(function)
        signature = signature_of(function)
        self._takes_request = signature is None or signature.takes(1)

    def __call__(self, request: Request) -> Any:
        return self.function(request) if self._takes_request else self.function()


class FetchHandler(Handler):
    """Calls `fetch`, or the function of a request's method."""

    def __init__(self, target: Function | dict[str, Function], threads: Threads) -> None:
        self._threads = threads
        self._fetch: Called | None = None
        self._by_method: dict[str, Called] = {}
        if isinstance(target, dict):
            self._by_method = {method: Called(function) for method, function in target.items()}
            if "GET" in target:
                self._by_method.setdefault("HEAD", self._by_method["GET"])
        else:
            self._fetch = Called(target)

    async def run(self, exchange: Exchange) -> None:
        try:
            http = http_request(exchange.event)
        except EventError as error:
            raise HandlerFailed(str(error)) from None
        exchange.forget_event()
        called = self._fetch or self._by_method.get(http.method)
        answer = FetchAnswer(exchange, http.method == "HEAD")
        if called is None:
            await answer.whole(not_allowed(self.methods))
            return
        request = Request(http, exchange)
        if called.is_async:
            await self._conclude(called(request), answer)
            return
        call = LoopCaller()

        def in_thread() -> Any:
            result = called(request)
            if inspect.isawaitable(result):
                return result
            made = as_response(result)
            if made.streams and not isinstance(made.body, AsyncIterable):
                # Made, advanced and closed in one and the same thread.
                answer.stream_in_thread(made, call)
                return None
            return made

        made = await self._threads.run(in_thread)
        if made is not None:
            await self._conclude(made, answer)

    @property
    def methods(self) -> list[str]:
        """The methods that are answered, when they are told by the functions' names."""
        return list(self._by_method)

    async def _conclude(self, result: Any, answer: FetchAnswer) -> None:
        if inspect.isawaitable(result):
            result = await result
        response = as_response(result)
        if not response.streams:
            await answer.whole(response)
        elif isinstance(response.body, AsyncIterable):
            await answer.stream(response)
        else:
            call = LoopCaller()
            await self._threads.run(lambda: answer.stream_in_thread(response, call))


def not_allowed(methods: list[str]) -> Response:
    """The answer to a method that has no function."""
    return Response("Method Not Allowed\n", 405, {"allow": ", ".join(methods)})


class FetchAnswer:
    """Sends a Response."""

    def __init__(self, exchange: Exchange, is_head: bool) -> None:
        self._exchange = exchange
        self._is_head = is_head

    async def whole(self, response: Response) -> None:
        """One whose body is there. Its length is known, so it is stated."""
        body = response.whole()
        has_body = response.status not in BODYLESS
        if has_body:
            response.headers.setdefault("content-length", str(len(body)))
        self._head(response, [])
        if body and has_body and not self._is_head:
            await self._exchange.write(body)
        self._exchange.finish()

    async def stream(self, response: Response) -> None:
        """One whose items come."""
        if self._begin(response):
            await pull_async(response.body, lambda item: self._take(response, item))
            self._end(response)
            return
        close = getattr(response.body, "aclose", None)
        if close is not None:
            await close()

    def stream_in_thread(self, response: Response, call: LoopCaller) -> None:
        """As `stream`, for a synchronous iterable, from the thread in which it is to run."""
        if call(self._begins(response)):
            pull(response.body, lambda item: self._take(response, item), call)
            call(self._ends(response))
            return
        close = getattr(response.body, "close", None)
        if close is not None:
            close()

    def _begin(self, response: Response) -> bool:
        """Send the head if it is known. Returns whether the items are wanted."""
        wanted = not self._is_head and response.status not in BODYLESS
        if not wanted or "content-type" in response.headers:
            self._head(response, [])
        if not wanted:
            self._exchange.finish()
        return wanted

    async def _begins(self, response: Response) -> bool:
        return self._begin(response)

    async def _take(self, response: Response, item: Any) -> None:
        try:
            data = encode(item)
        except lambda_values.InvalidResponse as error:
            raise HandlerFailed(str(error)) from error
        if not self._exchange.started and item is not None:
            self._head(response, [(b"content-type", content_type(item))])
        await self._exchange.write(data)

    def _end(self, response: Response) -> None:
        if not self._exchange.started:
            self._head(response, [])
        self._exchange.finish()

    async def _ends(self, response: Response) -> None:
        self._end(response)

    def _head(self, response: Response, more: list[tuple[bytes, bytes]]) -> None:
        self._exchange.head(int(response.status), response.headers.fields() + more)
