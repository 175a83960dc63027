"""Two ends joined in one process: the link of the all-in-one platform."""

from collections.abc import Callable

from .mux import Mux
from .outlet import FrameOutlet, Outlet
from .reader import RawFrame


class MemoryPipe:
    """Hands one mux's frames to the other, a loop tick later, so that neither is called from inside the other."""

    __slots__ = ("_defer", "_waiting", "target")

    def __init__(self, defer: Callable[[Callable[[], None]], object]) -> None:
        self._defer = defer
        self._waiting: list[RawFrame] = []
        self.target: Mux
        """Where it leads; `join` sets it."""

    def take(self, frames: list[RawFrame]) -> None:
        """Take frames from the writing mux. Windows bound how much can wait here."""
        if not self._waiting:
            self._defer(self._deliver)
        self._waiting += frames

    def _deliver(self) -> None:
        frames, self._waiting = self._waiting, []
        if self.target.lost_because is None:
            self.target.receive_frames(frames)


def join(
    left: Callable[[Outlet], Mux], right: Callable[[Outlet], Mux], defer: Callable[[Callable[[], None]], object]
) -> tuple[Mux, Mux]:
    """Two muxes that talk to each other. `left` and `right` make one each, given what it is to write to."""
    there, back = MemoryPipe(defer), MemoryPipe(defer)
    a, b = left(FrameOutlet(there.take)), right(FrameOutlet(back.take))
    there.target, back.target = b, a
    a.start()
    b.start()
    return a, b
