"""How many invocations may wait, so that overload is answered at once instead of slowly."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from dialback_invoker.errors import Overloaded


class Admission:
    """Bounds what waits for a worker, for each function and in all, and what is in flight in all."""

    def __init__(self, *, queue: int, in_flight: int) -> None:
        """`queue`: invocations of one function that may wait for a worker; `in_flight`: all that are unanswered."""
        self.queue = queue
        self.limit = in_flight
        self.in_flight = 0
        self._waiting: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """Invocations that wait for a worker."""
        return self._waiting.total()

    @property
    def waiting_for(self) -> Mapping[str, int]:
        """The same by function, without those for which nobody waits."""
        return self._waiting

    def admit(self) -> None:
        """An invocation has arrived; `leave` is owed at its end. Raises Overloaded."""
        if self.in_flight >= self.limit:
            raise Overloaded(f"{self.limit} requests are being served; no more are taken", retry_after=1)
        self.in_flight += 1

    def leave(self) -> None:
        """An invocation that was admitted is over."""
        self.in_flight -= 1

    @contextmanager
    def queued(self, function: str) -> Iterator[None]:
        """The wait of one invocation for a worker. Raises Overloaded."""
        if self._waiting[function] >= self.queue:
            raise Overloaded(f"{self.queue} requests wait for {function}; no more are taken", retry_after=1)
        self._waiting[function] += 1
        try:
            yield
        finally:
            self._waiting[function] -= 1
            if not self._waiting[function]:
                del self._waiting[function]
