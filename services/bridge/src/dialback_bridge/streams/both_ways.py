"""A stream that can be iterated over in asynchronous code (ASGI, `fetch`) and in synchronous code (WSGI) alike."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any

from .source import Source, discard


class BothWays(ABC):
    """Once, and in one of the two ways. Closing it (`aclose`, `close`) closes what it is made of."""

    def __init__(self, *sources: Source) -> None:
        self.sources = sources
        self._asynchronous: AsyncGenerator[Any, None] | None = None
        self._synchronous: Generator[Any, None, None] | None = None

    @abstractmethod
    def items(self) -> AsyncGenerator[Any, None]:
        """What is iterated over, made anew. It must not hold this object, or the two would be a ring, and what a
        framework drops would be closed at some later time.
        """

    def __aiter__(self) -> AsyncIterator[Any]:
        if self._asynchronous is None:
            self._asynchronous = self.items()
        return self._asynchronous

    async def aclose(self) -> None:
        """Give up what is left of it."""
        if self._asynchronous is not None:
            await self._asynchronous.aclose()
        self.close()

    def __iter__(self) -> Iterator[Any]:
        if self._synchronous is None:
            self._synchronous = _drive(self.items())
        return self._synchronous

    def close(self) -> None:
        """As `aclose`, for synchronous code. In the thread that iterated."""
        if self._synchronous is not None:
            self._synchronous.close()
        elif self._asynchronous is None:
            self.discard_sources()

    def discard_sources(self) -> None:
        """Close what it is made of, when it was never begun and never will be."""
        for source in self.sources:
            discard(source)


def _drive(items: AsyncGenerator[Any, None]) -> Generator[Any, None, None]:
    """Run `items` on a loop of its own, which runs while the next item is waited for."""
    loop = asyncio.new_event_loop()
    try:
        while True:
            try:
                item = loop.run_until_complete(_next(items))
            except StopAsyncIteration:
                return
            yield item
    finally:
        try:
            loop.run_until_complete(items.aclose())
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()


async def _next(items: AsyncGenerator[Any, None]) -> Any:
    return await items.__anext__()
