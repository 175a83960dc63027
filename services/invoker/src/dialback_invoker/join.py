"""The two halves of an invocation's end, the client's outcome and the runtime's answer, in whichever order they come.

Told by callbacks and not awaited: this is on every request's way, and a task for each costs more than all that is here.
"""

import asyncio
import math
from collections.abc import Callable

from dialback_invoker import buffered
from dialback_invoker.exchange import Exchange
from dialback_invoker.failures import death, unanswered
from dialback_invoker.lease import Answer, Declined, Lease, Response, WorkerDied
from dialback_invoker.outcome import Failure
from dialback_invoker.pending import PendingTable
from dialback_wire.messages import Reason, Verdict

JOIN_SECONDS = 2.0
"""How long the other half of an end may take: the stream's END when the runtime has answered, or the reverse."""


class Join:
    """Calls `over`, once, when both halves are there or the other one is not worth waiting for any more."""

    __slots__ = ("_exchange", "_lease", "_over", "_pending", "_timer", "_total")

    def __init__(
        self, exchange: Exchange, lease: Lease, pending: PendingTable, total: float, over: Callable[[], None]
    ) -> None:
        """`total`: the time-out of that name, in seconds; 0: none."""
        self._exchange = exchange
        self._lease = lease
        self._pending = pending
        self._total = total
        self._over: Callable[[], None] | None = over
        self._timer: asyncio.TimerHandle | None = None

    def answered(self, answer: Answer) -> None:
        """The runtime has answered, or died."""
        exchange = self._exchange
        self._note(answer)
        if exchange.outcome is not None or isinstance(answer, Declined):
            self.finish()
        elif exchange.source is None or isinstance(exchange.source, buffered.BufferedSource):
            self._pending.end(exchange.request.id)
            if isinstance(answer, Response):
                exchange.attach(buffered.BufferedSource())
                buffered.deliver(answer.body, exchange)
            else:
                exchange.fail(unanswered(answer))
        elif exchange.lost and isinstance(answer, WorkerDied):
            exchange.give_up(*death(answer))
        elif not exchange.ended:
            # What the bridge wrote before it answered, or died, may still be on its way; a dead worker's socket ends.
            self._wait(JOIN_SECONDS, self._no_end)

    def source_over(self) -> None:
        """The worker's side has ended."""
        if self._lease.answered:
            self._stop_waiting()
            self._tell_death()

    def client_over(self) -> None:
        """The client has its end: what it was still owed left at its own pace."""
        exchange, lease = self._exchange, self._lease
        if lease.answered:
            self.finish()
            return
        # A token that was not used until now opens nothing any more.
        self._pending.end(exchange.request.id)
        if exchange.goes_on:
            if self._total:
                self._wait(self._total, self._no_answer)
        elif lease.taken:
            if exchange.on_time_out is not None:
                lease.worker.condemn()
            self._wait(JOIN_SECONDS, self._no_answer)
        else:
            self._no_answer()

    def finish(self) -> None:
        """It is over, whatever is missing."""
        self._stop_waiting()
        over, self._over = self._over, None
        if over is not None:
            over()

    def _no_answer(self) -> None:
        if self._exchange.on_time_out is not None or self._exchange.goes_on:
            self._lease.condemn(math.inf)
        self.finish()

    def _no_end(self) -> None:
        if not self._tell_death():
            detail = "the worker answered the runtime API, and its stream has no end"
            self._exchange.fail(Failure(Verdict.TRUNCATED, "S", 502, "no_end", detail, Reason.KILLED))

    def _tell_death(self) -> bool:
        """A worker that died says more than the break of its socket."""
        if not self._exchange.lost:
            return False
        answer = self._lease.result.result()
        if not isinstance(answer, WorkerDied):
            return False
        self._exchange.give_up(*death(answer))
        return True

    def _note(self, answer: Answer) -> None:
        timeline = self._exchange.timeline
        timeline.mark("runtime_answered")
        if self._lease.tunnelled and isinstance(answer, (Response, Declined)):
            timeline.frame("socket", "up", 0, "DECLINE" if isinstance(answer, Declined) else "DONE", 0)
        else:
            size = len(answer.body) if isinstance(answer, Response) else 0
            timeline.frame("runtime", "up", 0, type(answer).__name__.upper(), size)

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        self._stop_waiting()
        self._timer = asyncio.get_running_loop().call_later(seconds, then)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
