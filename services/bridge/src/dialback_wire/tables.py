"""Which frame is legal when.

A stream has two halves, each a small machine. The **response** half goes from OPEN to the response's END; the
**request** half carries the request's body. Who opens differs: on a link the edge asks and opens, on a bridge's socket
the receiver asks and the bridge, which answers, opens with its token. The tables below are written once per kind of
carrier; a seat's own table is that, read from its side. `docs/protocol.md`'s diagrams are drawn from them.
"""

from enum import Enum, IntEnum

from .frames import FrameType as F


class Seat(IntEnum):
    """Who speaks. The invoker sits at both tables."""

    EDGE = 1
    INVOKER_LINK = 2
    INVOKER_RECEIVER = 3
    BRIDGE = 4

    @property
    def peer(self) -> "Seat":
        """The seat across the table."""
        return _PEERS[self]

    @property
    def asks(self) -> bool:
        """Whether this seat sends requests and takes responses."""
        return self in (Seat.EDGE, Seat.INVOKER_RECEIVER)

    @property
    def opens(self) -> bool:
        """Whether this seat opens streams."""
        return self in (Seat.EDGE, Seat.BRIDGE)


_PEERS = {
    Seat.EDGE: Seat.INVOKER_LINK,
    Seat.INVOKER_LINK: Seat.EDGE,
    Seat.INVOKER_RECEIVER: Seat.BRIDGE,
    Seat.BRIDGE: Seat.INVOKER_RECEIVER,
}


class Response(Enum):
    """States of the response half."""

    # In C: Enum's own is a Python function, and would be called for every frame.
    __hash__ = object.__hash__

    IDLE = "idle"
    OPENING = "opening"
    """The token was presented, and neither accepted nor refused."""
    WAITING = "waiting"
    """For the head."""
    STREAMING = "streaming"
    TRAILED = "trailed"
    CANCELLING = "cancelling"
    """The asker wants no more; only END counts."""
    CLOSED = "closed"


class Body(Enum):
    """States of the request half."""

    __hash__ = object.__hash__  # as above

    NONE = "none"
    """Not begun, or there is no body."""
    STREAMING = "streaming"
    TRAILED = "trailed"
    ENDED = "ended"


ResponseTable = dict[tuple[Response, F], Response]

# What the answering side sends once a stream is open, the same on both carriers.
_ANSWER: ResponseTable = {
    (Response.WAITING, F.INFO): Response.WAITING,
    (Response.WAITING, F.HEAD): Response.STREAMING,
    (Response.WAITING, F.END): Response.CLOSED,
    (Response.WAITING, F.ANSWER): Response.CLOSED,
    (Response.STREAMING, F.DATA): Response.STREAMING,
    (Response.STREAMING, F.TRAILERS): Response.TRAILED,
    (Response.STREAMING, F.END): Response.CLOSED,
    (Response.TRAILED, F.END): Response.CLOSED,
    # Sent before the answerer saw the CANCEL: passed over.
    (Response.CANCELLING, F.INFO): Response.CANCELLING,
    (Response.CANCELLING, F.HEAD): Response.CANCELLING,
    (Response.CANCELLING, F.DATA): Response.CANCELLING,
    (Response.CANCELLING, F.TRAILERS): Response.CANCELLING,
    (Response.CANCELLING, F.END): Response.CLOSED,
    (Response.CANCELLING, F.ANSWER): Response.CLOSED,
}

_CANCEL: ResponseTable = {
    (Response.WAITING, F.CANCEL): Response.CANCELLING,
    (Response.STREAMING, F.CANCEL): Response.CANCELLING,
    (Response.TRAILED, F.CANCEL): Response.CANCELLING,
}

LINK_ASKER: ResponseTable = {(Response.IDLE, F.OPEN): Response.WAITING, **_CANCEL}
LINK_ANSWERER: ResponseTable = {
    (Response.WAITING, F.REFUSE): Response.CLOSED,
    (Response.CANCELLING, F.REFUSE): Response.CLOSED,
    **_ANSWER,
}
SOCKET_ASKER: ResponseTable = {
    (Response.OPENING, F.ACCEPT): Response.WAITING,
    (Response.OPENING, F.REFUSE): Response.CLOSED,
    **_CANCEL,
}
SOCKET_ANSWERER: ResponseTable = {
    (Response.IDLE, F.OPEN): Response.OPENING,
    # The bridge gave up before it was let in.
    (Response.OPENING, F.END): Response.CLOSED,
    **_ANSWER,
}

SENDS: dict[Seat, ResponseTable] = {
    Seat.EDGE: LINK_ASKER,
    Seat.INVOKER_LINK: LINK_ANSWERER,
    Seat.INVOKER_RECEIVER: SOCKET_ASKER,
    Seat.BRIDGE: SOCKET_ANSWERER,
}
"""What each seat may send, by the state of the response half. What it may receive is what its peer may send."""

BODY: dict[tuple[Body, F], Body] = {
    (Body.STREAMING, F.DATA): Body.STREAMING,
    (Body.STREAMING, F.TRAILERS): Body.TRAILED,
    (Body.STREAMING, F.END): Body.ENDED,
    (Body.TRAILED, F.END): Body.ENDED,
}
"""What the asking seat may send of the request's body."""
