"""`handler(event, context)`: AWS Lambda's style. It may return, be async, or yield.

**What is returned** becomes a response by the rules of Function URLs (`lambda_values`).

**What is yielded** is sent as it comes; the next item is asked for when there is room for it.

- A first item that is a dict with `statusCode` is the head: `statusCode`, `headers`, `cookies` and, if present, `body`.
- Without one, the head is a 200 whose content type follows from the first item.
- What the items become is told in `items`.

A generator is closed when nobody wants the rest: `GeneratorExit` at its `yield`, `finally` runs. A synchronous one is
advanced and closed in one and the same thread.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from dialback_wire.payload import LAMBDA_LIMIT

from .. import lambda_values
from ..entry import is_async
from ..event import pack_body
from ..exchange import AnswerError, Exchange
from .base import Handler, HandlerFailed
from .items import content_type, encode, pull, pull_async
from .lambda_context import LambdaContext
from .threads import LoopCaller, Threads

_LEFT_TO_LOOP = object()


class LambdaHandler(Handler):
    """Calls a `handler(event, context)`."""

    def __init__(self, target: Callable[[Any, Any], Any], threads: Threads) -> None:
        self._target = target
        self._threads = threads
        self._is_async = is_async(target)
        # os.environ would encode the name and decode the value, five times in each request.
        self._environ = {name: value for name, value in os.environ.items() if name.startswith("AWS_LAMBDA_")}

    async def run(self, exchange: Exchange) -> None:
        await _make_whole(exchange)
        event, context = exchange.event, LambdaContext(exchange.delivery, self._environ)
        if self._is_async:
            await self._conclude(exchange, self._target(event, context))
            return
        pull_whole = _puller(exchange)

        def in_thread() -> Any:
            result = self._target(event, context)
            if inspect.isasyncgen(result) or inspect.isawaitable(result):
                # A plain function that hands on what an async one gave, as decorators do.
                return _LEFT_TO_LOOP, result
            if isinstance(result, Iterator):
                pull_whole(result)
                return None, None
            return None, (result,)

        marker, outcome = await self._threads.run(in_thread)
        if marker is _LEFT_TO_LOOP:
            await self._conclude(exchange, outcome)
        elif outcome is not None:
            await _answer(exchange, outcome[0])

    async def _conclude(self, exchange: Exchange, result: Any) -> None:
        """`result` is a coroutine or an asynchronous generator."""
        if inspect.isawaitable(result):
            result = await result
        if isinstance(result, AsyncIterator):
            response = Yielded(exchange)
            await pull_async(result, response.take)
            await response.finish()
        elif isinstance(result, Iterator):
            iterator, pull_whole = result, _puller(exchange)
            await self._threads.run(lambda: pull_whole(iterator))
        else:
            await _answer(exchange, result)


async def _make_whole(exchange: Exchange) -> None:
    """Put a body that streams into the event, where Lambda's handlers look for it. Raises AnswerError (413)."""
    event = exchange.event
    if not isinstance(event, dict) or "requestContext" not in event:
        return
    size, parts = 0, []
    while part := await exchange.read():
        parts.append(part)
        size += len(part)
        if size > LAMBDA_LIMIT:
            raise AnswerError(413, "body_too_large", f"a Lambda handler takes bodies up to {LAMBDA_LIMIT} bytes")
    if size and not event.get("body"):
        content_type = str((event.get("headers") or {}).get("content-type", ""))
        event["body"], event["isBase64Encoded"] = pack_body(b"".join(parts), content_type)


async def _answer(exchange: Exchange, value: Any) -> None:
    try:
        await exchange.answer(value)
    except lambda_values.InvalidResponse as error:
        raise HandlerFailed(str(error)) from error


def _puller(exchange: Exchange) -> Callable[[Iterator[Any]], None]:
    """What a thread calls with an iterator that makes the whole response."""
    call, response = LoopCaller(), Yielded(exchange)

    def pull_whole(items: Iterator[Any]) -> None:
        pull(items, response.take, call)
        call(response.finish())

    return pull_whole


class Yielded:
    """Turns yielded items into a response."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def take(self, item: Any) -> None:
        """Send an item. Raises ClientGone, or HandlerFailed for an item that cannot be sent."""
        try:
            data = self._head(item) if not self._exchange.started and item is not None else encode(item)
        except lambda_values.InvalidResponse as error:
            raise HandlerFailed(str(error)) from error
        await self._exchange.write(data)

    async def finish(self) -> None:
        """The generator is exhausted."""
        if not self._exchange.started:
            self._exchange.head(200, [(b"content-type", b"text/plain; charset=utf-8")])
        self._exchange.finish()

    def _head(self, item: Any) -> bytes:
        """Send the head that the first item is or implies; returns what goes into the body."""
        if lambda_values.is_head(item):
            status, fields, body = lambda_values.head_of(item)
            self._exchange.head(status, fields)
            return body
        fields = [(b"content-type", content_type(item))]
        data = encode(item)
        self._exchange.head(200, fields)
        return data
