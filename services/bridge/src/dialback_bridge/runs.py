"""The handlers at work, and what ends one before it ends by itself.

Its client leaves, its deadline passes, or the worker stops. The handler is told, and cancelled when it does not notice.
"""

from __future__ import annotations

import asyncio
import math
import time

from dialback_wire.messages import Reason

from .exchange import Exchange

BODYLESS_TIME = 10.0
"""Seconds that a handler has to complete an answer whose body nobody reads (HEAD, 204, 304). Longer than
`cancel_grace`, because its client is content and its work is wanted."""


class Run:
    """One handler at work, in `task`."""

    __slots__ = ("_exchange", "_grace", "_loop", "_task", "_timers", "due")

    def __init__(
        self, exchange: Exchange, task: asyncio.Task[None], loop: asyncio.AbstractEventLoop, grace: float
    ) -> None:
        self.due: float | None = None
        """When its deadline passes, in the loop's time; None: it has none, or it has passed."""
        self._exchange = exchange
        self._task = task
        self._loop = loop
        self._grace = grace
        self._timers: tuple[asyncio.TimerHandle, ...] = ()

    def stop(self, why: Reason | str) -> None:
        """Tell the handler that nobody wants its response any more, and cancel it in any case after a while."""
        self._exchange.leave(why)
        self._timers += (self._loop.call_later(self._grace, self._task.cancel),)

    def on_gone(self) -> None:
        """Nobody wants the response any more."""
        patience = BODYLESS_TIME if self._exchange.gone is Reason.NO_BODY else self._grace
        self._timers += (
            self._loop.call_later(self._grace, self._exchange.expire),
            self._loop.call_later(patience, self._cancel_incomplete),
        )

    def _cancel_incomplete(self) -> None:
        if not self._exchange.complete:
            self._task.cancel()

    def over(self) -> None:
        """The handler has ended."""
        self._exchange.forget_callbacks()
        for timer in self._timers:
            timer.cancel()


class Runs:
    """All handlers at work. `cancel_grace`: seconds that one has to notice that nobody wants its response any more.

    One timer serves all deadlines, because nearly all handlers end long before theirs.
    """

    def __init__(self, cancel_grace: float) -> None:
        self._cancel_grace = cancel_grace
        self._runs: set[Run] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._next_look = math.inf
        """When the timer ends, in the loop's time."""

    def begin(self, exchange: Exchange) -> Run:
        """The current task calls a handler now. `end` is owed."""
        # The handler runs in the task of its invocation: another one would cost more than most handlers do.
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        run = Run(exchange, task, loop, self._cancel_grace)
        self._runs.add(run)
        exchange.when_gone(run.on_gone)
        deadline_ms = exchange.delivery.deadline_ms
        if deadline_ms is not None:
            run.due = loop.time() + max(0.0, deadline_ms / 1000 - time.time())
            self._look_at(run.due, loop)
        return run

    def end(self, run: Run) -> None:
        """The handler has ended."""
        self._runs.discard(run)
        run.over()

    def stop(self, why: Reason) -> None:
        """Stop all of them."""
        for run in list(self._runs):
            run.stop(why)

    def _look_at(self, due: float, loop: asyncio.AbstractEventLoop) -> None:
        if due < self._next_look:
            if self._timer is not None:
                self._timer.cancel()
            self._next_look, self._timer = due, loop.call_at(due, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._next_look, self._timer = math.inf, None
        now = loop.time()
        for run in [run for run in self._runs if run.due is not None and run.due <= now]:
            run.due = None
            run.stop("deadline")
        self._look_at(min((run.due for run in self._runs if run.due is not None), default=math.inf), loop)
