"""What a stream needs of the carrier that it shares with others."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from .flow import Budget
from .messages import Limits
from .outlet import Outlet
from .tables import ResponseTable, Seat

S = TypeVar("S")


class Carrier(Protocol[S]):
    """The part of a `Mux` that its streams, of type `S`, see."""

    seat: Seat
    asks: bool
    sends: ResponseTable
    receives: ResponseTable
    limits: Limits
    budget: Budget
    peer_window: int
    """Bytes that the other side takes of a stream before it says more."""
    peer_max_frame: int
    """Bytes of the largest payload that the other side takes."""
    takes_answers: bool
    """Whether the other side takes a whole response in one frame."""
    max_data: int
    """Bytes of one frame of DATA at most."""
    sends_early: bool
    """Whether what is written now would leave before the end of this tick."""
    outlet: Outlet
    """What leaves, in the order in which it leaves; what needs no credit is put there at once."""
    leaving: list[S]
    """Streams whose END the carrier takes with what it writes next."""

    def fitting(self, payload: bytes) -> bytes:
        """`payload`, when the other side takes frames that large. Raises LocalError when it does not."""

    def schedule(self) -> None:
        """Write at the end of this tick."""

    def take_turn(self, stream: S, flush: bool) -> None:
        """The stream has data and credit: it is one of those that write in turn."""

    def tell(self, stream: S, callback: Callable[..., None], *arguments: object) -> None:
        """Call a sink. What it raises ends its own stream alone."""

    def forget(self, stream: S) -> None:
        """The stream is over on both sides."""
