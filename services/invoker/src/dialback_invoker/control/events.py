"""What happens on the platform, as it happens: one stream of Server-Sent Events for each who watches.

It begins with what is there and what ended and was printed last; from then on each event is sent only when what it says
has changed. A reader who is slow misses ended invocations and lines and is told how many; one that takes nothing for
`PATIENCE` seconds is cut off, and may connect again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

import msgspec
from aiohttp import web

from dialback_invoker.control import models
from dialback_invoker.control.functions import function_views
from dialback_invoker.control.invocations import summary
from dialback_invoker.control.ports import Services
from dialback_invoker.control.routing import Route
from dialback_invoker.control.sse import HEARTBEAT, SSE, event
from dialback_invoker.store.port import LogLine
from dialback_invoker.watchers import News, Watcher

LOOK: Final = 0.25
"""Seconds between two looks at what is in flight."""
PAUSE: Final = 0.1
"""Seconds that news is collected before it is sent."""
WORKERS_EVERY: Final = 2.0
"""Seconds between two looks at workers that did not change their state: their memory does."""
ALIVE_EVERY: Final = 5.0
PATIENCE: Final = 30.0
SHOWN_LIVE: Final = 50
SHOWN_ENDED: Final = 100
SHOWN_LINES: Final = 300
_MEBIBYTE: Final = 1 << 20

_encode = msgspec.json.Encoder().encode


def event_routes(services: Services) -> list[Route]:
    """The route /v1/events."""

    async def watch(request: web.Request) -> web.StreamResponse:
        watcher = services.watchers.join()
        try:
            response = web.StreamResponse(headers={"Content-Type": SSE})
            await response.prepare(request)
            await _follow(services, watcher, response)
        except (TimeoutError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            services.watchers.leave(watcher)
        return response

    return [
        Route(
            "GET", "/v1/events", "watch", "What happens on the platform, as it happens", watch, models.LiveEvent,
            produces=SSE, errors=(503,),
        ),
    ]  # fmt: skip


async def _follow(services: Services, watcher: Watcher, response: web.StreamResponse) -> None:
    """Write events until there will be no more. Raises TimeoutError when the reader takes nothing."""
    shown = _Shown(services)
    last_line = 0
    seen: set[str] = set()
    pieces = [*shown.changes(workers=True)]
    await services.recorder.flush()
    ended = await services.store.invocations(limit=SHOWN_ENDED)
    lines = await services.logs.recent(SHOWN_LINES)
    seen = {trace["id"] for trace in ended}
    last_line = lines[-1].seq if lines else 0
    pieces.append(event("recent", {"invocations": ended, "lines": [_line(line) for line in lines]}))
    written = time.monotonic()
    while True:
        if pieces:
            async with asyncio.timeout(PATIENCE):
                await response.write(b"".join(pieces))
            written = time.monotonic()
        if watcher.closed:
            return
        await asyncio.sleep(PAUSE)
        await watcher.wait(LOOK - PAUSE)
        news = watcher.take()
        pieces = [*shown.changes(workers=news.workers), *_told(news, seen, last_line)]
        seen = set()
        if not pieces and time.monotonic() - written > ALIVE_EVERY:
            pieces = [HEARTBEAT]


def _told(news: News, seen: set[str], last_line: int) -> Iterator[bytes]:
    """News as events, but for what ``recent`` told already."""
    ended = [trace for trace in news.ended if trace["id"] not in seen]
    if ended or news.ended_missed:
        yield event("ended", {"invocations": ended, "missed": news.ended_missed})
    lines = [_line(line) for line in news.lines if line.seq > last_line]
    if lines or news.lines_missed:
        yield event("log", {"lines": lines, "missed": news.lines_missed})


class _Shown:
    """What the reader was shown last, so that only what changed is sent again."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._last: dict[str, bytes] = {}
        self._looked = 0.0

    def changes(self, *, workers: bool) -> Iterator[bytes]:
        """Events for what is different now. ``workers``: one of them has changed its state."""
        platform = self._services.platform
        yield from self._event("platform", {"status": platform.state()} | asdict(platform.facts()))
        live = platform.live_invocations(SHOWN_LIVE)
        yield from self._event("live", {"count": platform.in_flight(), "invocations": list(map(summary, live))})
        functions = function_views(self._services, self._services.registry.all())
        yield from self._event("functions", {"functions": [view.model_dump() for view in functions]})
        now = time.monotonic()
        if workers or now - self._looked >= WORKERS_EVERY:
            self._looked = now
            yield from self._event("workers", {"workers": [_rounded(asdict(worker)) for worker in platform.workers()]})

    def _event(self, name: str, data: dict[str, Any]) -> Iterator[bytes]:
        encoded = _encode(data)
        if self._last.get(name) != encoded:
            self._last[name] = encoded
            yield event(name, data)


def _rounded(worker: dict[str, Any]) -> dict[str, Any]:
    """Memory in whole mebibytes: nobody looks at more, and each change is sent."""
    rss = worker["rss_bytes"]
    return worker | {"rss_bytes": rss if rss is None else rss // _MEBIBYTE * _MEBIBYTE}


def _line(line: LogLine) -> dict[str, Any]:
    return asdict(line)
