"""Makes one real HTTP request to the public address, as any client would, and tells what happened as it happens.

It is a client like curl: the request goes through the edge. The frames that pass inside the platform meanwhile come
from the platform's feed; both are merged as they happen. The request is made at most once.
"""

from __future__ import annotations

import asyncio
import codecs
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from dialback_invoker.control.ports import RunFeed

Event = tuple[str, dict[str, Any]]
"""the event's name and data, see `models.RunEvent`"""

LONGEST_TEXT: Final = 16_384  # characters of a chunk that are shown
_FEED_ENDS_WITHIN: Final = 5.0  # seconds after the response's end: the worker may still answer the runtime API
_BACKLOG: Final = 256  # events; a slow asker slows the run


class RequestFailed(Exception):
    """The connection failed before a head came. Not one of aiohttp's errors, at which its client would try again."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The request to make."""

    method: str
    target: str
    """path and query, percent-encoded, with the function's prefix if it is named by path"""
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Runner:
    """One run. `events` yields its events but the last, ``trace``; `invocation` is its id once the head came."""

    def __init__(self, run: Outgoing, edge_url: str, ticket: str, feed: RunFeed) -> None:
        self._run = run
        self._url = URL(f"{edge_url.rstrip('/')}{run.target}", encoded=True)
        self._ticket = ticket
        self._feed = feed
        self._events: asyncio.Queue[Event | None] = asyncio.Queue(_BACKLOG)
        self._started = time.monotonic()
        self.invocation: str | None = None

    async def events(self) -> AsyncGenerator[Event, None]:
        """Make the request and yield what happens; closing the iterator drops the request, as a client that leaves."""
        self._started = time.monotonic()
        task = asyncio.create_task(self._all(), name="run")
        try:
            while (event := await self._events.get()) is not None:
                yield event
            await task
        finally:
            self._feed.close()
            task.cancel()
            await asyncio.wait({task})

    async def _all(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                frames = group.create_task(self._frames())
                await self._request()
                await asyncio.wait({frames}, timeout=_FEED_ENDS_WITHIN)
                self._feed.close()
                frames.cancel()
        finally:
            await self._events.put(None)

    async def _frames(self) -> None:
        async for frame in self._feed:
            data = {"hop": frame.hop, "direction": frame.direction, "type": frame.type, "size": frame.size}
            await self._events.put(("frame", {"t_ms": self._ms(frame.at)} | data))

    async def _request(self) -> None:
        error: str | None = None
        try:
            async with aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0),
                auto_decompress=False,
                middlewares=(_only_once,),
            ) as session:
                await self._exchange(session)
        except RequestFailed as failure:
            error = f"the request failed: {failure}"
        except aiohttp.ClientPayloadError:
            error = "the response was cut short"
        except aiohttp.ClientError as failure:
            error = f"the request failed: {str(failure) or type(failure).__name__}"
        end = {"t_ms": self._ms(), "ok": error is None, "error": error, "id": self.invocation}
        await self._events.put(("end", end))

    async def _exchange(self, session: aiohttp.ClientSession) -> None:
        headers = CIMultiDict(self._run.headers)
        headers["x-dialback-run"] = self._ticket
        async with session.request(
            self._run.method,
            self._url,
            headers=headers,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            data=self._run.body or None,
            allow_redirects=False,
        ) as response:
            self.invocation = response.headers.get("x-dialback-id")
            answered = [(str(name), value) for name, value in response.headers.items()]
            head = {"t_ms": self._ms(), "status": response.status, "headers": answered}
            await self._events.put(("head", head))
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            async for piece in response.content.iter_any():
                text = decoder.decode(piece)[:LONGEST_TEXT]
                await self._events.put(("chunk", {"t_ms": self._ms(), "size": len(piece), "text": text}))

    def _ms(self, at: float | None = None) -> float:
        return round(((time.monotonic() if at is None else at) - self._started) * 1000, 3)


async def _only_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """aiohttp's client repeats an idempotent request whose connection failed; a function may have run by then."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise RequestFailed(str(error) or "the connection was closed") from error
