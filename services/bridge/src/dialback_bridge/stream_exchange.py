"""An exchange whose response travels on a stream of the callback socket, part by part."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn

from dialback_wire.errors import StreamViolation
from dialback_wire.fields import check_size
from dialback_wire.messages import Accept, End, Field, Head, Info, Reason, Verdict
from dialback_wire.payload import BODY_INLINE, BODY_STREAM
from dialback_wire.sink import BaseSink
from dialback_wire.stream import MAX_ANSWER, Stream

from . import lambda_values
from .event import Stamp, inline_body
from .exchange import AnswerError, ClientGone, Exchange
from .runtime_client import Delivery
from .waiters import Waiters

ROOM = 64 * 1024
"""Bytes that a handler may have in its stream's queue before `write` makes it wait, however large the credit is."""

_TIMEOUTS = frozenset({Reason.TIMEOUT_START, Reason.TIMEOUT_HEAD, Reason.TIMEOUT_IDLE, Reason.TIMEOUT_TOTAL})


class StreamLost(Exception):
    """The socket died before the stream was accepted."""


class StreamRefused(Exception):
    """The receiver did not accept the token."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code


class StreamExchange(Exchange, BaseSink):
    """Both what the handler uses and the sink of its stream."""

    __slots__ = (
        "_closed",
        "_drops",
        "_ended",
        "_head",
        "_invited",
        "_on_closed",
        "_opened",
        "_parts",
        "_readers",
        "_stream",
        "_streams_body",
        "_writers",
    )

    def __init__(self, delivery: Delivery, event: Any, stamp: Stamp) -> None:
        super().__init__(delivery, event)
        self._streams_body = stamp.body == BODY_STREAM
        self._stream: Stream | None = None
        self._opened: asyncio.Future[None] | None = None
        self._parts: deque[bytes] | None = None
        """Of the request's body; None until there was one, for most have none and an empty deque takes 760 bytes."""
        self._ended = not self._streams_body
        self._closed = False
        self._on_closed: Callable[[], None] | None = None
        self._readers = Waiters()
        self._writers = Waiters()
        self._head: Head | None = None
        """The response's head, until the tick is over in which it was given: all of the response may follow in it."""
        self._drops = False
        self._invited = False
        body = inline_body(event) if stamp.body == BODY_INLINE else b""
        if body:
            self._parts = deque((body,))

    # --- opening ------------------------------------------------------------------------------------------------------

    def attach(self, stream: Stream) -> asyncio.Future[None]:
        """Use `stream`. The future is done when the token was accepted; it raises StreamRefused or StreamLost."""
        self._stream = stream
        self._opened = asyncio.get_running_loop().create_future()
        return self._opened

    def on_accept(self, accept: Accept) -> None:
        if self._streams_body and not accept.body:
            self._ended = True
        self._settle(None)

    def on_refuse(self, code: int, reason: str) -> None:
        self._settle(StreamRefused(code, reason))

    def _settle(self, error: Exception | None) -> bool:
        opened, self._opened = self._opened, None
        if opened is None or opened.done():
            return False
        if error is None:
            opened.set_result(None)
        else:
            opened.set_exception(error)
        return True

    # --- what the stream says -----------------------------------------------------------------------------------------

    def on_data(self, data: bytes) -> None:
        if self._parts is None:
            self._parts = deque()
        self._parts.append(data)
        self._readers.wake()

    def on_end(self, end: End) -> None:
        if end.verdict is Verdict.OK:
            self._ended = True
        else:
            self.cut = f"the request's body was cut short ({end.verdict.name.lower()})"
        self._readers.wake()

    def on_cancel(self, reason: Reason, detail: str) -> None:
        # The answer to HEAD, a 204 and a 304 have no body on the wire: for a while, what is written is dropped.
        self._drops = reason is Reason.NO_BODY
        self.leave(reason)

    def on_sent(self, count: int) -> None:
        self._writers.wake()

    def on_closed(self) -> None:
        self._close()

    def _close(self) -> None:
        self._closed = True
        self._writers.wake()
        on_closed, self._on_closed = self._on_closed, None
        if on_closed is not None:
            on_closed()

    def on_lost(self, why: str) -> None:
        if not self._settle(StreamLost(why)):
            self.leave("lost")
        self._close()

    def leave(self, why: Reason | str) -> None:
        super().leave(why)
        self._readers.wake()
        self._writers.wake()

    # --- what the handler uses ----------------------------------------------------------------------------------------

    @property
    def body_over(self) -> bool:
        return self._ended and not self._parts

    async def read(self) -> bytes:
        while True:
            if self.gone is not None and self.gone is not Reason.NO_BODY:
                raise ClientGone("the client has gone")
            if self._parts:
                data = self._parts.popleft()
                if self._streams_body:
                    self._wired.consumed(len(data))
                return data
            if self._ended:
                return b""
            if self.cut is not None or self.gone is not None:
                raise ClientGone(self.cut or "the response is over, and nobody sends the rest of the body")
            if not self._invited:
                # A client that expects 100 Continue sends nothing before it knows that the body is wanted.
                self._invited = True
                self._wired.invite()
            await self._readers.wait()

    @property
    def _wired(self) -> Stream:
        if self._stream is None:
            raise RuntimeError("the exchange has no stream yet")
        return self._stream

    def info(self, status: int, fields: list[Field]) -> None:
        """One that is too large is dropped: the asker would do so."""
        if _fits(fields):
            self._wired.info(Info(status, tuple(fields)))

    def head(self, status: int, fields: list[Field]) -> None:
        head = Head(status, tuple(fields))
        try:
            check_size(head.fields)
        except StreamViolation as violation:
            self._refuse(f"the response's head is too large: {violation}")
        if not 0 <= status <= 0xFFFF:
            self._refuse(f"the response's status is {status}")
        self.started = True
        self._head = head
        asyncio.get_running_loop().call_soon(self._say_head)

    def _refuse(self, why: str) -> NoReturn:
        self.refused = AnswerError(502, "bad_head", why)
        raise self.refused from None

    def _say_head(self) -> None:
        head, self._head = self._head, None
        if head is not None:
            self._wired.head(head)

    def give_all(self, body: bytes) -> bool:
        head = self._head
        if head is None or self.gone is not None or len(body) > MAX_ANSWER:
            return False
        self._head = None
        self._wired.answer(head, body)
        super().finish()
        return True

    def give(self, data: bytes) -> bool:
        stream = self._stream
        if stream is None:
            return False
        if self._head is not None:
            self._say_head()
        if data and self.gone is None:
            stream.write(data)
        # An eager write may have told us meanwhile that nobody listens.
        return self.gone is None and stream.has_room(ROOM)

    async def room(self) -> None:
        stream = self._wired
        while self.gone is None and not stream.has_room(ROOM):
            await self._writers.wait()
        if self.gone is not None:
            if not self._drops:
                raise ClientGone("the client has gone")
            # Dropped. Give way, or a handler that never stops writing would hold the loop.
            await asyncio.sleep(0)

    def expire(self) -> None:
        self._drops = False

    def trailers(self, fields: list[Field]) -> None:
        """Those that are too large are dropped: the asker would do so."""
        self._say_head()
        if _fits(fields):
            self._wired.trailers(tuple(fields))

    async def answer(self, value: Any) -> None:
        answer = lambda_values.infer(value)
        self.head(answer.status, answer.fields)
        if self.give_all(answer.body):
            return
        if answer.body:
            await self.write(answer.body)
        self.finish()

    def finish(self) -> None:
        """The last frame follows at once, whatever the handler still does when its response is complete."""
        if not self.give_all(b""):
            self._say_head()
            self._wired.end(Verdict.OK)
            super().finish()

    # --- the end ------------------------------------------------------------------------------------------------------

    def end(self, verdict: Verdict, *, status: int = 0, code: str = "", detail: str = "") -> None:
        """Send the last frame, behind everything that was written."""
        self._say_head()
        self._wired.end(verdict, status=status, code=code, detail=detail)

    @property
    def over(self) -> bool:
        """Whether the last frame leaves with the carrier's next write, or has left."""
        return self._closed or self._wired.over

    async def closed(self) -> None:
        """Wait until the last frame has left, or nobody wants it."""
        while not self._closed:
            await self._writers.wait()

    def when_closed(self, callback: Callable[[], None]) -> None:
        """Have `callback` called as soon as `closed` would return."""
        if self._closed:
            callback()
        else:
            self._on_closed = callback

    @property
    def count(self) -> int:
        """Bytes of body that have left."""
        return self._wired.sent

    @property
    def gone_verdict(self) -> Verdict:
        """The verdict of a response that was broken off because of `gone`."""
        if self.gone in _TIMEOUTS or self.gone == "deadline":
            return Verdict.TIMEOUT
        return Verdict.TRUNCATED if self.gone == "lost" else Verdict.CANCELLED


def _fits(fields: list[Field]) -> bool:
    try:
        check_size(tuple(fields))
    except StreamViolation:
        return False
    return True
