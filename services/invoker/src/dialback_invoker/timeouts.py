"""The four time-outs of an invocation, `start`, `head`, `idle` and `total`; 0 means none.

`start` runs from the moment that a worker is being started or was given the payload, until it has dialled back; `head`
from there to the response's head; `idle` is the longest silence of the worker inside a body; `total` is everything.
"""

import asyncio
import math
from typing import Final, Protocol

from dialback_invoker.function_config import Timeouts

SOON: Final = 0.1
"""Seconds within which most invocations are over."""


class Timed(Protocol):
    """What the time-outs are for."""

    @property
    def held(self) -> bool:
        """Whether it is the client that holds the stream back: then the worker's silence does not count."""
        ...

    def time_out(self, which: str, seconds: float) -> None:
        """The first that fires: its name, and its length in seconds."""
        ...


class Newcomers:
    """Those whose time-outs no timer of the loop's watches yet: most are over before they need one.

    No time-out fires late for it. One that is shorter than `SOON` has its timer at once.
    """

    __slots__ = ("_here", "_timer", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._here: dict[Deadlines, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def take(self, newcomer: "Deadlines") -> None:
        """Have it set its timers soon, if it is still here then."""
        self._here[newcomer] = None
        if self._timer is None:
            self._timer = self.loop.call_later(SOON, self._look)

    def drop(self, newcomer: "Deadlines") -> None:
        """It needs none any more."""
        self._here.pop(newcomer, None)

    def _look(self) -> None:
        lasting, self._here, self._timer = self._here, {}, None
        for deadlines in lasting:
            deadlines.arm()


class Deadlines:
    """The running time-outs of one invocation, which is told once, of the first that fires.

    One timer serves all but `total`: a phase that ends early only moves the time that is due, and the timer looks when
    it fires.
    """

    __slots__ = (
        "_active",
        "_due",
        "_loop",
        "_new",
        "_newcomers",
        "_over_at",
        "_seconds",
        "_timed",
        "_timeouts",
        "_timer",
        "_total",
        "_which",
    )

    def __init__(self, timeouts: Timeouts, timed: Timed, newcomers: Newcomers) -> None:
        self._timeouts = timeouts
        self._timed = timed
        self._newcomers = newcomers
        self._loop = newcomers.loop
        self._new = True
        """Whether it is among the newcomers, and has no timers."""
        self._timer: asyncio.TimerHandle | None = None
        self._total: asyncio.TimerHandle | None = None
        self._which = ""
        self._seconds = 0.0
        self._due = math.inf
        self._over_at = math.inf
        """When `total` is due."""
        self._active = 0.0

    def begin(self) -> None:
        """The invocation was admitted."""
        total = self._timeouts.total
        self._newcomers.take(self)
        if total:
            self._over_at = self._loop.time() + total
            if total < SOON:
                self.arm()

    def arm(self) -> None:
        """It lasts: from now on it has timers."""
        self._new = False
        self._newcomers.drop(self)
        if self._over_at < math.inf:
            self._total = self._loop.call_at(self._over_at, self._fire, "total", self._timeouts.total)
        if self._due < math.inf:
            self._set_timer()

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
        if self._new:
            self._new = False
            self._newcomers.drop(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._total is not None:
            self._total.cancel()
        self._timer = self._total = None
        self._due = math.inf

    def _await(self, which: str, seconds: float) -> None:
        self._which, self._seconds = which, seconds
        if not seconds:
            self._due = math.inf
            return
        self._due = self._loop.time() + seconds
        if self._new:
            if seconds < SOON:
                self.arm()
        elif self._timer is None or self._timer.when() > self._due:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._due, self._check)

    def _check(self) -> None:
        self._timer = None
        if self._which == "idle" and self._due < math.inf:
            if self._timed.held:
                self.touch()
            self._due = self._active + self._seconds
        if self._due == math.inf:
            return
        if self._loop.time() < self._due:
            self._set_timer()
        else:
            self._fire(self._which, self._seconds)

    def _fire(self, which: str, seconds: float) -> None:
        self.stop()
        self._timed.time_out(which, seconds)
