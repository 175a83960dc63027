"""Which traces are kept with every frame and the payload: all, until there are more a second than anyone reads."""

import time
from collections.abc import Callable

from dialback_invoker.trace import Invocation
from dialback_wire.messages import Verdict

A_SECOND = 100
"""Whole traces that are kept in a second, of those that ended well and again of those that did not."""


class DetailBudget:
    """Says for each invocation whether its whole trace is kept. Watched runs always are."""

    def __init__(self, a_second: int = A_SECOND, clock: Callable[[], float] = time.monotonic) -> None:
        self._a_second = a_second
        self._clock = clock
        self._second = 0
        self._spent = {True: 0, False: 0}

    def wanted(self, invocation: Invocation) -> bool:
        """Whether this one's details are kept; counts it."""
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._spent = {True: 0, False: 0}
        good = invocation.outcome is not None and invocation.outcome.verdict is Verdict.OK
        self._spent[good] += 1
        return self._spent[good] <= self._a_second or invocation.exchange.timeline.listener is not None
