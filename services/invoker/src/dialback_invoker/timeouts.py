"""The four time-outs of an invocation, `start`, `head`, `idle` and `total`; 0 means none.

`start` runs from the moment that a worker is being started or was given the payload, until it has dialled back; `head`
from there to the response's head; `idle` is the longest silence of the worker inside a body; `total` is everything.
"""

import asyncio
import math
from collections.abc import Callable

from dialback_invoker.function_config import Timeouts


class Deadlines:
    """The running time-outs of one invocation. `expired` is called once, with the name of the first that fires.

    One timer serves all but `total`: a phase that ends early only moves the time that is due, and the timer looks when
    it fires. Most invocations are over before it does.
    """

    __slots__ = ("_active", "_due", "_expired", "_held", "_loop", "_seconds", "_timeouts", "_timer", "_total", "_which")

    def __init__(self, timeouts: Timeouts, expired: Callable[[str, float], None], *, held: Callable[[], bool]) -> None:
        """`held` says whether it is the client that holds the stream back: then the worker's silence does not count."""
        self._timeouts = timeouts
        self._expired = expired
        self._held = held
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._total: asyncio.TimerHandle | None = None
        self._which = ""
        self._seconds = 0.0
        self._due = math.inf
        self._active = 0.0

    def begin(self) -> None:
        """The invocation was admitted."""
        if self._timeouts.total:
            self._total = self._loop.call_later(self._timeouts.total, self._fire, "total", self._timeouts.total)

    def starting(self) -> None:
        """A worker is being started, or was given the payload. Only the first call counts."""
        if not self._which:
            self._await("start", self._timeouts.start)

    def running(self) -> None:
        """The worker has dialled back; the head is awaited."""
        self._await("head", self._timeouts.head)

    def streaming(self) -> None:
        """The head has come."""
        self.touch()
        self._await("idle", self._timeouts.idle)

    def touch(self) -> None:
        """The worker gave a sign of life, or may go on after the client held it back."""
        self._active = self._loop.time()

    def stop(self) -> None:
        """Nothing is awaited any more."""
        for timer in (self._timer, self._total):
            if timer is not None:
                timer.cancel()
        self._timer = self._total = None
        self._due = math.inf

    def _await(self, which: str, seconds: float) -> None:
        self._which, self._seconds = which, seconds
        self._due = self._loop.time() + seconds if seconds else math.inf
        if seconds and (self._timer is None or self._timer.when() > self._due):
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._due, self._check)

    def _check(self) -> None:
        self._timer = None
        if self._which == "idle" and self._due < math.inf:
            if self._held():
                self.touch()
            self._due = self._active + self._seconds
        if self._due == math.inf:
            return
        if self._loop.time() < self._due:
            self._arm()
        else:
            self._fire(self._which, self._seconds)

    def _fire(self, which: str, seconds: float) -> None:
        self.stop()
        self._expired(which, seconds)
