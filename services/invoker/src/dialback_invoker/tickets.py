"""Run tickets: one request's permission to run in another mode or on another deployment, and a view of its frames.

`dialback compare` and the page send one with a request to the public port. A ticket is random, for one function and one
request, good for 60 seconds, and known to this process alone.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable

from dialback_invoker.control.ports import Mode, RunFeed, RunFrame
from dialback_invoker.course import Ticket
from dialback_invoker.deployment import Deployment
from dialback_invoker.timeline import FrameEvent
from dialback_invoker.trace import Invocation

GOOD_FOR_SECONDS = 60.0
_MOST = 10_000
_BACKLOG = 4096


class Feed:
    """The frames of one run, for one watcher. One that does not keep up misses frames."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[RunFrame | None] = asyncio.Queue(_BACKLOG)
        self._closed = False
        self._invocation: Invocation | None = None

    def watch(self, invocation: Invocation) -> None:
        """The request with the ticket has come: tell what passed already, then everything that passes."""
        timeline = invocation.exchange.timeline
        self._invocation = invocation
        for event in timeline.events():
            self._frame(timeline.origin, event)
        timeline.listener = lambda event: self._frame(timeline.origin, event)

    def ended(self, invocation: Invocation) -> None:
        """The invocation was recorded."""
        if invocation is self._invocation:
            self.close()

    def close(self) -> None:
        """Stop watching."""
        if not self._closed:
            self._closed = True
            if self._invocation is not None:
                self._invocation.exchange.timeline.listener = None
            if self._queue.full():
                self._queue.get_nowait()
            self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[RunFrame]:
        while (frame := await self._queue.get()) is not None:
            yield frame

    def _frame(self, origin: float, event: FrameEvent) -> None:
        t_ms, hop, direction, _, kind, size = event
        if not self._closed and not self._queue.full():
            self._queue.put_nowait(RunFrame(origin + t_ms / 1000, hop, direction, kind, size))


class _Minted:
    __slots__ = ("deployment", "feed", "function", "mode", "not_after")

    def __init__(self, function: str, mode: str, deployment: Deployment | None, not_after: float) -> None:
        self.deployment = deployment
        self.function = function
        self.mode = mode
        self.not_after = not_after
        self.feed: Feed | None = None


class Tickets:
    """Tickets that were made and not used yet, and the feeds that watch their runs."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._minted: dict[str, _Minted] = {}
        self._feeds: dict[str, Feed] = {}

    def mint(self, function: str, mode: Mode, deployment: Deployment | None = None) -> str:
        """A new ticket, for the active deployment or the one that is named."""
        self._forget_old()
        text = f"run_{secrets.token_urlsafe(24)}"
        self._minted[text] = _Minted(function, mode, deployment, self._clock() + GOOD_FOR_SECONDS)
        return text

    def subscribe(self, text: str) -> RunFeed:
        """Watch the request that will carry the ticket. A ticket that is used up gives a feed that ends at once."""
        feed = Feed()
        minted = self._minted.get(text)
        if minted is None:
            feed.close()
        else:
            minted.feed = feed
        return feed

    def redeem(self, text: str) -> Ticket | None:
        """Use a ticket up."""
        minted = self._minted.pop(text, None)
        if minted is None or minted.not_after < self._clock():
            return None
        return Ticket(
            minted.function,
            minted.mode,
            lambda invocation: self._watch(minted.feed, invocation),
            minted.deployment,
        )

    def ended(self, invocation: Invocation) -> None:
        """An invocation was recorded: whoever watched it has seen all."""
        feed = self._feeds.pop(invocation.request.id, None)
        if feed is not None:
            feed.ended(invocation)

    def _watch(self, feed: Feed | None, invocation: Invocation) -> None:
        if feed is not None:
            self._feeds[invocation.request.id] = feed
            feed.watch(invocation)

    def _forget_old(self) -> None:
        now = self._clock()
        if len(self._minted) >= _MOST or any(minted.not_after < now for minted in self._minted.values()):
            kept = [(text, minted) for text, minted in self._minted.items() if minted.not_after >= now]
            self._minted = dict(kept[-_MOST + 1 :])
