"""Two ends of a carrier joined in one process: the link of the all-in-one platform, and the fake link of tests."""

from collections import deque
from collections.abc import Callable

from .mux import Mux


class MemoryPipe:
    """Carries bytes from one mux to the other, one loop tick later, so that neither is called from inside the other."""

    def __init__(self, defer: Callable[[Callable[[], None]], object]) -> None:
        self._defer = defer
        self._target: Mux | None = None
        self._waiting: deque[bytes] = deque()

    def lead_to(self, target: Mux) -> None:
        """Deliver what is written to `target`."""
        self._target = target

    def write(self, data: bytes) -> None:
        """Take bytes from the writing mux. Windows bound how much can wait here."""
        self._waiting.append(data)
        if len(self._waiting) == 1:
            self._defer(self._deliver)

    def _deliver(self) -> None:
        data = b"".join(self._waiting)
        self._waiting.clear()
        if self._target is not None and self._target.lost_because is None:
            self._target.receive(data)


def join(
    left: Callable[[Callable[[bytes], None]], Mux],
    right: Callable[[Callable[[bytes], None]], Mux],
    defer: Callable[[Callable[[], None]], object],
) -> tuple[Mux, Mux]:
    """Two muxes that talk to each other. `left` and `right` make one each, given what it is to write to."""
    there, back = MemoryPipe(defer), MemoryPipe(defer)
    a, b = left(there.write), right(back.write)
    there.lead_to(b)
    back.lead_to(a)
    a.start()
    b.start()
    return a, b
