"""Two ends of a carrier joined in one process: the link of the all-in-one platform, and the fake link of tests."""

from collections import deque
from collections.abc import Callable

from .mux import Mux


class MemoryPipe:
    """Carries bytes from one mux to the other, one loop tick later, so that neither is called from inside the other."""

    def __init__(self, defer: Callable[[Callable[[], None]], object]) -> None:
        self._defer = defer
        self._waiting: deque[bytes] = deque()
        self.target: Mux
        """Where it leads; `join` sets it."""

    def write(self, data: bytes) -> None:
        """Take bytes from the writing mux. Windows bound how much can wait here."""
        self._waiting.append(data)
        if len(self._waiting) == 1:
            self._defer(self._deliver)

    def _deliver(self) -> None:
        data = b"".join(self._waiting)
        self._waiting.clear()
        if self.target.lost_because is None:
            self.target.receive(data)


def join(
    left: Callable[[Callable[[bytes], None]], Mux],
    right: Callable[[Callable[[bytes], None]], Mux],
    defer: Callable[[Callable[[], None]], object],
) -> tuple[Mux, Mux]:
    """Two muxes that talk to each other. `left` and `right` make one each, given what it is to write to."""
    there, back = MemoryPipe(defer), MemoryPipe(defer)
    a, b = left(there.write), right(back.write)
    there.target, back.target = b, a
    a.start()
    b.start()
    return a, b
