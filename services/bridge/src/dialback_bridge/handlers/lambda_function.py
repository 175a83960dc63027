"""`handler(event, context)`: AWS Lambda's style. It may return, be async, or yield.

**What is returned** becomes a response by the rules of Function URLs (`lambda_values`).

**What is yielded** is sent as it comes; the next item is asked for when there is room for it.

- A first item that is a dict with `statusCode` is the head: `statusCode`, `headers`, `cookies` and, if present, `body`.
- Without one, the head is a 200 whose content type follows from the first item: `text/plain; charset=utf-8` for a str,
  `application/octet-stream` for bytes, `application/x-ndjson` for anything else.
- A str is sent as UTF-8, bytes as they are, anything else as one line of JSON. None sends nothing: it is a place at
  which synchronous code learns that nobody is listening any more.

A generator is closed when nobody wants the rest: `GeneratorExit` at its `yield`, `finally` runs. A synchronous one is
advanced and closed in one and the same thread.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from dialback_wire.payload import LAMBDA_LIMIT

from .. import lambda_values
from ..entry import is_async
from ..event import pack_body
from ..exchange import AnswerError, Exchange
from .base import Handler, HandlerFailed
from .lambda_context import LambdaContext
from .threads import LoopCaller, Threads

_LEFT_TO_LOOP = object()


class LambdaHandler(Handler):
    """Calls a `handler(event, context)`."""

    def __init__(self, target: Callable[[Any, Any], Any], threads: Threads) -> None:
        self._target = target
        self._threads = threads
        self._is_async = is_async(target)

    async def run(self, exchange: Exchange) -> None:
        await _make_whole(exchange)
        event, context = exchange.event, LambdaContext(exchange.delivery)
        if self._is_async:
            await self._conclude(exchange, self._target(event, context))
            return
        call = LoopCaller()

        def in_thread() -> Any:
            result = self._target(event, context)
            if inspect.isasyncgen(result) or inspect.isawaitable(result):
                # A plain function that hands on what an async one gave, as decorators do.
                return _LEFT_TO_LOOP, result
            if isinstance(result, Iterator):
                _pull(result, Yielded(exchange), call)
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
            await _pull_async(result, Yielded(exchange))
        elif isinstance(result, Iterator):
            iterator, call = result, LoopCaller()
            await self._threads.run(lambda: _pull(iterator, Yielded(exchange), call))
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


def _pull(items: Iterator[Any], response: Yielded, call: LoopCaller) -> None:
    try:
        for item in items:
            call(response.take(item))
        call(response.finish())
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()


async def _pull_async(items: AsyncIterator[Any], response: Yielded) -> None:
    try:
        async for item in items:
            await response.take(item)
        await response.finish()
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()


class Yielded:
    """Turns yielded items into a response."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def take(self, item: Any) -> None:
        """Send an item. Raises ClientGone, or HandlerFailed for an item that cannot be sent."""
        try:
            data = self._head(item) if not self._exchange.started and item is not None else _encode(item)
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
        fields = [(b"content-type", _content_type(item))]
        data = _encode(item)
        self._exchange.head(200, fields)
        return data


def _content_type(item: Any) -> bytes:
    if isinstance(item, str):
        return b"text/plain; charset=utf-8"
    if isinstance(item, (bytes, bytearray, memoryview)):
        return b"application/octet-stream"
    return b"application/x-ndjson"


def _encode(item: Any) -> bytes:
    if item is None:
        return b""
    if isinstance(item, str):
        return item.encode("utf-8", "replace")
    if isinstance(item, (bytes, bytearray, memoryview)):
        return bytes(item)
    return lambda_values.to_json(item) + b"\n"
