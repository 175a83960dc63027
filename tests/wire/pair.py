"""Two muxes joined by a link that a test moves by hand."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dialback_wire.flow import Budget
from dialback_wire.messages import Head, Limits, Request
from dialback_wire.mux import Mux
from dialback_wire.outlet import ByteOutlet
from dialback_wire.sink import StreamSink
from dialback_wire.stream import Stream
from dialback_wire.tables import Seat

from .notes import Notes

SEATS = {"link": (Seat.EDGE, Seat.INVOKER_LINK), "socket": (Seat.INVOKER_RECEIVER, Seat.BRIDGE)}
"""The seat that asks and the seat that answers, for each kind of carrier."""

OK_HEAD = Head(200, ((b"content-type", b"text/plain"),))
TOKEN = b"db1_r_" + b"0" * 26 + b"_" + b"a" * 64


def request(body_length: int | None = 0, **changes: Any) -> Request:
    """A request as an edge relays it."""
    values: dict[str, Any] = {
        "id": "0" * 26,
        "method": b"POST",
        "target": b"/@hello/x?q=1",
        "authority": b"localhost:8080",
        "fields": ((b"host", b"localhost:8080"),),
        "scheme": b"http",
        "http_version": b"1.1",
        "peer": b"127.0.0.1:5000",
        "body_length": body_length,
        "age_us": 7,
    }
    return Request(**(values | changes))


def waiting(mux: Mux) -> list[bytes | bytearray]:
    """The encoded frames that `mux` has not handed to its carrier yet."""
    assert isinstance(mux.outlet, ByteOutlet)
    return mux.outlet.parts


class Ticks:
    """A loop without time: what is deferred waits for `run`."""

    def __init__(self) -> None:
        self.waiting: deque[Callable[[], None]] = deque()

    def __call__(self, callback: Callable[[], None]) -> None:
        self.waiting.append(callback)

    def run(self) -> None:
        """Run what waits, and what comes up meanwhile."""
        while self.waiting:
            self.waiting.popleft()()


@dataclass
class Talk:
    """One stream, seen from both ends."""

    ask: Stream
    asker: Notes
    answer: Stream
    answerer: Notes


@dataclass
class Side:
    """What one mux of a pair was given and has said."""

    written: bytearray = field(default_factory=bytearray)
    writes: list[bytes] = field(default_factory=list)
    ready: int = 0
    errors: list[tuple[str, int]] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    going_away: list[str] = field(default_factory=list)
    opened: list[tuple[Stream, Notes]] = field(default_factory=list)
    broken: bool = False

    def write(self, data: bytes) -> None:
        """The carrier's write. A broken one raises, as uvloop's transports do once they are closed."""
        if self.broken:
            raise RuntimeError("the transport is closed")
        self.writes.append(data)
        self.written += data


class Pair:
    """An asker and an answerer joined by bytes. `chop` is how many bytes the carrier delivers at once (None: all)."""

    def __init__(self, carrier: str = "link", chop: int | None = None, *, greet: bool = True, **both: Any) -> None:
        self.carrier = carrier
        self.chop = chop
        self.ticks = Ticks()
        self.sides = {"asker": Side(), "answerer": Side()}
        self.body = False
        self.consume = True
        self.on_open: Callable[[Stream, Request | bytes], StreamSink | None] = self._let_in
        ask, answer = SEATS[carrier]
        self.asker = self.mux("asker", ask, **both)
        self.answerer = self.mux("answerer", answer, **both)
        if greet:
            self.greet()

    def greet(self) -> None:
        """Exchange greetings."""
        self.asker.start()
        self.answerer.start()
        self.run()

    def mux(self, name: str, seat: Seat, **changes: Any) -> Mux:
        """A mux at one side of the pair."""
        side = self.sides[name]

        def opened(stream: Stream, what: Request | bytes) -> StreamSink:
            sink = Notes(asks=seat.asks, consume=self.consume)
            sink.stream = stream
            side.opened.append((stream, sink))
            return self.on_open(stream, what) or sink

        def ready() -> None:
            side.ready += 1

        values: dict[str, Any] = {
            "write": side.write,
            "defer": self.ticks,
            "on_ready": ready,
            "on_error": lambda error, stream: side.errors.append((str(error), stream)),
            "on_pong": side.pongs.append,
            "on_going_away": side.going_away.append,
            "limits": Limits(),
            "budget": Budget(),
        }
        if not seat.opens:
            values["on_open"] = opened
        return Mux(seat, **(values | changes))

    def _let_in(self, stream: Stream, what: Request | bytes) -> None:
        if isinstance(what, bytes):
            stream.accept(b"resume", body=self.body)

    @property
    def opener(self) -> Mux:
        """The end that opens streams."""
        return self.asker if self.carrier == "link" else self.answerer

    @property
    def acceptor(self) -> Side:
        """The side that is opened to."""
        return self.sides["answerer" if self.carrier == "link" else "asker"]

    def deliver(self) -> bool:
        """Carry what was written to the other side. False when nothing was."""
        moved = False
        for name, target in (("asker", self.answerer), ("answerer", self.asker)):
            written = self.sides[name].written
            if written and target.lost_because is None:
                data = bytes(written)
                written.clear()
                moved = True
                step = self.chop or len(data)
                for at in range(0, len(data), step):
                    target.receive(data[at : at + step])
        return moved

    def run(self) -> None:
        """Until nothing moves any more."""
        self.ticks.run()
        while self.deliver():
            self.ticks.run()

    def start(self, *, body: bool = False, consume: bool = True) -> tuple[Stream, Notes]:
        """The opener's stream and sink; nothing has moved yet."""
        self.body, self.consume = body, consume
        own = Notes(asks=self.carrier == "link", consume=consume)
        if self.carrier == "link":
            own.stream = self.asker.open_request(request(None if body else 0), own)
        else:
            own.stream = self.answerer.open_token(TOKEN, own)
        return own.stream, own

    def open(self, *, body: bool = False, consume: bool = True) -> Talk:
        """A stream that the other end was told of, and has let in unless `on_open` says otherwise."""
        own = self.start(body=body, consume=consume)
        self.run()
        other = self.acceptor.opened[-1]
        return Talk(*own, *other) if self.carrier == "link" else Talk(*other, *own)

    def check(self) -> None:
        """Nothing was called that must not be, no sink failed, nothing is left over."""
        assert [side.errors for side in self.sides.values()] == [[], []]
        for mux in (self.asker, self.answerer):
            assert mux.streams == 0
            assert mux.budget.free == mux.budget.total
