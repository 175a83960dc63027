"""Items that user code yields, as parts of a body: the same rules for every style that streams items.

A str is sent as UTF-8, bytes as they are, anything else as one line of JSON. None sends nothing: it is a place at which
code learns that nobody is listening any more. A body without a content type gets one by its first item: `text/plain;
charset=utf-8` for a str, `application/octet-stream` for bytes, `application/x-ndjson` for anything else.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import Any

from .. import lambda_values
from .threads import LoopCaller


def content_type(item: Any) -> bytes:
    """The content type of a body that begins with `item`."""
    if isinstance(item, str):
        return b"text/plain; charset=utf-8"
    if isinstance(item, (bytes, bytearray, memoryview)):
        return b"application/octet-stream"
    return b"application/x-ndjson"


def encode(item: Any) -> bytes:
    """`item` as a part of a body. Raises InvalidResponse for one that is no JSON."""
    if item is None:
        return b""
    if isinstance(item, str):
        return item.encode("utf-8", "replace")
    if isinstance(item, (bytes, bytearray, memoryview)):
        return bytes(item)
    return lambda_values.to_json(item) + b"\n"


def pull(items: Iterable[Any], take: Callable[[Any], Awaitable[None]], call: LoopCaller) -> None:
    """Give each item to `take` on the loop, and close what was iterated over: all in the thread that calls."""

    async def taken(item: Any) -> None:
        await take(item)

    iterator = iter(items)
    try:
        for item in iterator:
            call(taken(item))
    finally:
        for each in {id(iterator): iterator, id(items): items}.values():
            close = getattr(each, "close", None)
            if close is not None:
                close()


async def pull_async(items: AsyncIterable[Any], take: Callable[[Any], Awaitable[None]]) -> None:
    """As `pull`, on the loop."""
    iterator = aiter(items)
    try:
        async for item in iterator:
            await take(item)
    finally:
        for each in {id(iterator): iterator, id(items): items}.values():
            close = getattr(each, "aclose", None)
            if close is not None:
                await close()
