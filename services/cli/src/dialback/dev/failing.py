"""Answers that fail: the news waits until it is known what was raised, because the page that is shown tells it.

Frameworks catch what a handler raises and answer 500 themselves, in three words, and log the traceback or raise it
again behind the answer. A browser gets the page with the source instead of those three words; programs get what the
framework said, and so do browsers where it said more (a debug page of its own), or where nothing was raised.
"""

from __future__ import annotations

import asyncio

from dialback.dev.state import State
from dialback_edge.error_pages import prefers_html
from dialback_wire.fields import first
from dialback_wire.messages import Accept, End, Fields, Head, Info, Reason, Request, Verdict
from dialback_wire.sink import StreamSink

PATIENCE = 0.3
"""Seconds in which the log of a failed request may follow its failure: both come on ways of their own."""
HANDLER_ERROR = "handler_error"
FEW_WORDS = 4096
"""Bytes of a body that a framework sends of its own accord."""


class Failing:
    """Passes everything on to `sink`, failures with patience."""

    def __init__(self, sink: StreamSink, request: Request, state: State) -> None:
        self._sink = sink
        self._request = request
        self._state = state
        self._answered = False
        self._head: Head | None = None
        """A framework's own 500 that is held back, with its body."""
        self._body: list[bytes] = []
        self._task: asyncio.Task[None] | None = None

    def on_answer(self, head: Head, body: bytes) -> None:
        if not self._is_suspect(head):
            self._sink.on_answer(head, body)
            return
        self.on_head(head)
        if body:
            self.on_data(body)
        self.on_end(End(Verdict.OK, len(body)))

    def on_head(self, head: Head) -> None:
        self._answered = True
        if self._is_suspect(head):
            self._head = head
        else:
            self._sink.on_head(head)

    def _is_suspect(self, head: Head) -> bool:
        """Whether it may be a framework's own word for an exception, and its client would rather see that."""
        return head.status == 500 and prefers_html(first(self._request.fields, b"accept") or b"")

    def on_data(self, data: bytes) -> None:
        if self._head is None:
            self._sink.on_data(data)
            return
        self._body.append(data)
        if sum(map(len, self._body)) > FEW_WORDS:
            self._let_go()

    def on_end(self, end: End) -> None:
        raised = not self._answered and end.verdict is Verdict.ERROR and end.code == HANDLER_ERROR
        if raised or (self._head is not None and end.verdict is Verdict.OK):
            self._task = asyncio.get_running_loop().create_task(self._end(end))
        else:
            self._let_go()
            self._sink.on_end(end)

    async def _end(self, end: End) -> None:
        await self._state.await_raised(self._request.id, PATIENCE)
        problem = self._state.raised.get(self._request.id)
        if self._head is not None and problem is not None:
            end = End(Verdict.ERROR, status=500, code=HANDLER_ERROR, detail=problem.title)
        else:
            self._let_go()
        self._sink.on_end(end)

    def _let_go(self) -> None:
        """What the framework said goes to the client after all."""
        head, self._head = self._head, None
        body, self._body = self._body, []
        if head is not None:
            self._sink.on_head(head)
            for data in body:
                self._sink.on_data(data)

    def on_trailers(self, fields: Fields) -> None:
        self._let_go()
        self._sink.on_trailers(fields)

    def on_lost(self, why: str) -> None:
        self._let_go()
        self._sink.on_lost(why)

    def on_accept(self, accept: Accept) -> None:
        self._sink.on_accept(accept)

    def on_refuse(self, code: int, reason: str) -> None:
        self._sink.on_refuse(code, reason)

    def on_info(self, info: Info) -> None:
        self._sink.on_info(info)

    def on_cancel(self, reason: Reason, detail: str) -> None:
        self._sink.on_cancel(reason, detail)

    def on_credit(self) -> None:
        self._sink.on_credit()

    def on_sent(self, count: int) -> None:
        self._sink.on_sent(count)

    def on_closed(self) -> None:
        self._sink.on_closed()
