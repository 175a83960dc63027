"""The four time-outs of an invocation, `start`, `head`, `idle` and `total`; 0 means none.

`start` runs from the moment that a worker is being started or was given the payload, until it has dialled back; `head`
from there to the response's head; `idle` is the longest silence of the worker inside a body; `total` is everything.
"""

import asyncio
from collections.abc import Callable

from dialback_invoker.function_config import Timeouts


class Deadlines:
    """The running time-outs of one invocation. `expired` is called once, with the name of the first that fires."""

    def __init__(self, timeouts: Timeouts, expired: Callable[[str, float], None], *, held: Callable[[], bool]) -> None:
        """`held` says whether it is the client that holds the stream back: then the worker's silence does not count."""
        self._timeouts = timeouts
        self._expired = expired
        self._held = held
        self._loop = asyncio.get_running_loop()
        self._phase: asyncio.TimerHandle | None = None
        self._total: asyncio.TimerHandle | None = None
        self._active = self._loop.time()

    def begin(self) -> None:
        """The invocation was admitted."""
        if self._timeouts.total:
            self._total = self._loop.call_later(self._timeouts.total, self._fire, "total", self._timeouts.total)

    def starting(self) -> None:
        """A worker is being started, or was given the payload. Only the first call counts."""
        if self._phase is None:
            self._arm("start", self._timeouts.start)

    def running(self) -> None:
        """The worker has dialled back; the head is awaited."""
        self._arm("head", self._timeouts.head)

    def streaming(self) -> None:
        """The head has come."""
        self._arm("idle", 0.0)
        self.touch()
        if self._timeouts.idle:
            self._phase = self._loop.call_later(self._timeouts.idle, self._check_idle)

    def touch(self) -> None:
        """The worker gave a sign of life, or may go on after the client held it back."""
        self._active = self._loop.time()

    def stop(self) -> None:
        """Nothing is awaited any more."""
        for timer in (self._phase, self._total):
            if timer is not None:
                timer.cancel()
        self._phase = self._total = None

    def _arm(self, which: str, seconds: float) -> None:
        if self._phase is not None:
            self._phase.cancel()
            self._phase = None
        if seconds:
            self._phase = self._loop.call_later(seconds, self._fire, which, seconds)

    def _check_idle(self) -> None:
        # One timer for the whole body, not one for every chunk.
        if self._held():
            self.touch()
        left = self._active + self._timeouts.idle - self._loop.time()
        if left > 0:
            self._phase = self._loop.call_later(left, self._check_idle)
        else:
            self._fire("idle", self._timeouts.idle)

    def _fire(self, which: str, seconds: float) -> None:
        self.stop()
        self._expired(which, seconds)
