"""Many streams on one carrier: the class through which every process speaks the protocol.

The carrier (a WebSocket, a Unix or TCP socket, a pair in memory) hands bytes to `receive` and writes what it is
given; each stream's owner is a `StreamSink`. What was written in one tick of the loop leaves as one write, control
frames first, then the streams in turn, each within its credit. One stream's failure is its own: an exception out of a
sink, or a frame that breaks a stream's rules, resets that stream and no other.
"""

from collections import deque
from collections.abc import Callable, Iterable

from . import frames
from .errors import FramingError, LocalError, ProofError, StreamViolation
from .flow import Budget
from .frames import FrameType
from .messages import Hello, Invoke, Limits, Refusal, Request
from .outlet import ByteOutlet, Outlet
from .proof import NONCE_BYTES, prove, verify
from .reader import FrameReader, RawFrame
from .sink import BaseSink, StreamSink
from .stream import Stream
from .tables import SENDS, Seat

FLUSH_BYTES = 256 * 1024
"""About how much is handed to the carrier in one write."""

MAX_UNREAD = 10_000
"""Frames without credit that may wait for a carrier that takes nothing; a peer that causes more is cut off."""

MAX_DATA = 64 * 1024
"""Most bytes in one frame of DATA, so that streams take turns."""


INVOKE_OVERHEAD = 64
"""Bytes of an INVOKE around the event, and some to spare."""

_TUNNEL = {
    int(FrameType.INVOKE): Seat.BRIDGE,
    int(FrameType.DECLINE): Seat.INVOKER_RECEIVER,
    int(FrameType.DONE): Seat.INVOKER_RECEIVER,
}
"""The seat that takes each frame of the tunnel."""

OpenHandler = Callable[[Stream, "Request | bytes"], StreamSink]


def _ignore(*_: object) -> None:
    return


def _refuse_all(stream: Stream, _: Request | bytes) -> StreamSink:
    stream.refuse(Refusal.UNAVAILABLE, "this side takes no streams")
    return BaseSink()


class Mux:
    """One end of a carrier.

    `write` gets bytes for the carrier, or is an outlet that takes frames as they are; `defer` runs a callback at the
    end of this loop tick (`loop.call_soon`).
    `on_open` answers a stream that the other side opens and returns its sink; it accepts or refuses a token then or
    later.
    `on_invoke` is told of invocations that come over the socket (a bridge's), `on_declined` and `on_done` of what
    became of those that were sent (a receiver's).
    `on_error` is told of exceptions out of sinks. With a `key`, both ends prove that they know it before anything else;
    `nonce` is then `proof.NONCE_BYTES` random bytes. `eager` sends the first bytes of a tick at once: right where one
    process writes (a bridge), wrong where it relays.
    """

    def __init__(
        self,
        seat: Seat,
        *,
        write: Callable[[bytes], None] | Outlet,
        defer: Callable[[Callable[[], None]], object],
        on_open: OpenHandler = _refuse_all,
        on_ready: Callable[[], None] = _ignore,
        on_error: Callable[[Exception, int], None] = _ignore,
        on_pong: Callable[[bytes], None] = _ignore,
        on_going_away: Callable[[str], None] = _ignore,
        on_invoke: Callable[[Invoke], None] = _ignore,
        on_declined: Callable[[str], None] = _ignore,
        on_done: Callable[[str], None] = _ignore,
        key: bytes | None = None,
        nonce: bytes = b"",
        limits: Limits | None = None,
        budget: Budget | None = None,
        agent: str = "",
        eager: bool = False,
    ) -> None:
        if len(nonce) != (0 if key is None else NONCE_BYTES):
            raise LocalError(f"a key needs a nonce of {NONCE_BYTES} bytes, and a nonce a key")
        self.seat = seat
        self.asks = seat.asks
        self.sends = SENDS[seat]
        self.receives = SENDS[seat.peer]
        self.limits = limits or Limits()
        self.budget = budget or Budget()
        self.ready = False
        self.peer: Hello | None = None
        self.lost_because: str | None = None
        self.going_away = False
        self.max_data = MAX_DATA
        self.peer_max_frame = 0
        self.peer_window = 0
        self.takes_answers = False
        self.leaving: list[Stream] = []
        self.outlet: Outlet = ByteOutlet(write) if callable(write) else write
        self._defer = defer
        self._on_open = on_open
        self._on_ready = on_ready
        self._on_error = on_error
        self._on_pong = on_pong
        self._on_going_away = on_going_away
        self._on_invoke = on_invoke
        self._on_declined = on_declined
        self._on_done = on_done
        self._key = key
        self._nonce = nonce
        self._peer_nonce = b""
        self._agent = agent
        self._eager = eager
        self.sends_early = eager
        """Whether what is written now would leave before the end of this tick."""
        self._reader = FrameReader()
        self._streams: dict[int, Stream] = {}
        self._last_id = 0
        self._sendable: deque[Stream] = deque()
        self._deferred = False
        self._paused = False
        self._flushing = False

    # --- life of the carrier ------------------------------------------------------------------------------------------

    @property
    def streams(self) -> int:
        """How many streams are alive, or have an END that the carrier has not taken yet."""
        return len(self._streams) + len(self.leaving)

    def start(self) -> None:
        """Greet the other side."""
        limits = self.limits
        hello = Hello(
            frames.MAJOR,
            frames.MINOR,
            self.seat,
            limits.max_frame,
            limits.window,
            limits.max_streams,
            self._nonce,
            self._agent,
        )
        self._send(FrameType.HELLO, frames.encode_hello(hello))

    def receive(self, data: bytes | memoryview) -> None:
        """Bytes from the carrier, cut anywhere. The memory of a view may be used again afterwards.

        Raises FramingError when they cannot be decoded; the carrier is then to be closed, and `lost` to be called.
        """
        self.receive_frames(self._reader.feed(data))

    def receive_frames(self, came: Iterable[RawFrame]) -> None:
        """As `receive`, of frames that need no decoding."""
        for kind, stream_id, payload in came:
            if self.lost_because is not None:
                return
            if self._paused and len(self.outlet) > MAX_UNREAD:
                raise FramingError("the other side sends and does not read")
            if stream_id:
                self._receive_on_stream(kind, stream_id, payload)
            else:
                self._receive_on_carrier(kind, payload)

    def lost(self, why: str) -> None:
        """The carrier is gone: every stream ends with `on_lost`. A second call does nothing."""
        if self.lost_because is not None:
            return
        self.lost_because = why
        self.ready = False
        self.outlet.drop()
        self._sendable.clear()
        streams = [*self._streams.values(), *self.leaving]
        self._streams = {}
        self.leaving = []
        for stream in streams:
            stream.lose(why)

    def pause(self) -> None:
        """The carrier's buffer is full: give it nothing until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """The carrier takes bytes again."""
        self._paused = False
        self.flush()

    def ping(self, payload: bytes = b"") -> None:
        """Ask for a sign of life; `on_pong` gets the payload back. Raises LocalError above `frames.MAX_PING` bytes."""
        if len(payload) > frames.MAX_PING:
            raise LocalError(f"a PING of {len(payload)} bytes; {frames.MAX_PING} at most")
        self._send(FrameType.PING, payload)

    def go_away(self, reason: str) -> None:
        """Ask the other side to open no more streams here. Those that are open run to their ends."""
        self.going_away = True
        self._send(FrameType.GOING_AWAY, frames.encode_going_away(reason))

    # --- invocations over the socket ----------------------------------------------------------------------------------

    def takes(self, invoke: Invoke) -> bool:
        """Whether `invoke` can be sent: the other side knows the frame, and takes one of this size."""
        if not self.ready or self.going_away or self.peer is None or self.peer.minor < 1:
            return False
        return len(invoke.event) + INVOKE_OVERHEAD <= self.peer_max_frame

    def invoke(self, invoke: Invoke) -> None:
        """Hand an invocation to the bridge, which opens a stream with its token. Raises LocalError.

        Until then the bridge may decline it; when all of it is over, the bridge says so.
        """
        if self.seat is not Seat.INVOKER_RECEIVER:
            raise LocalError(f"{self.seat.name} invokes nothing")
        self._send(FrameType.INVOKE, self.fitting(frames.encode_invoke(invoke)))

    def decline(self, invocation: str) -> None:
        """Give an invocation back that nothing was done for."""
        self._send(FrameType.DECLINE, invocation.encode())

    def done(self, invocation: str) -> None:
        """An invocation is over, with all that it left behind: its slot is free."""
        self._send(FrameType.DONE, invocation.encode())

    # --- opening ------------------------------------------------------------------------------------------------------

    def open_request(self, request: Request, sink: StreamSink) -> Stream:
        """Relay a request. Raises LocalError before the link is ready or when it is used up."""
        return self._open(sink, frames.encode_open_request(request), body=request.body_length != 0)

    def open_token(self, token: bytes, sink: StreamSink) -> Stream:
        """Present an invocation's token. Raises LocalError before the socket is ready or when it is used up."""
        return self._open(sink, frames.encode_open_token(token), body=False)

    def _open(self, sink: StreamSink, payload: bytes, *, body: bool) -> Stream:
        if not self.ready:
            raise LocalError(f"the carrier is not ready: {self.lost_because or 'no greeting yet'}")
        if not self.seat.opens:
            raise LocalError(f"{self.seat.name} opens no streams")
        if self._last_id >= frames.MAX_STREAM:
            raise LocalError("this carrier's stream numbers are used up")
        self.fitting(payload)
        self._last_id += 1
        stream = self._add(self._last_id, sink)
        stream.open(payload, body=body)
        return stream

    def fitting(self, payload: bytes) -> bytes:
        """`payload`, when the other side takes frames that large. Raises LocalError when it does not. For streams."""
        if len(payload) > self.peer_max_frame:
            raise LocalError(f"a frame of {len(payload)} bytes; the other side takes {self.peer_max_frame} at most")
        return payload

    def _add(self, stream_id: int, sink: StreamSink) -> Stream:
        stream = self._streams[stream_id] = Stream(self, stream_id, sink)
        return stream

    # --- receiving ----------------------------------------------------------------------------------------------------

    def _receive_on_carrier(self, kind: int, payload: bytes) -> None:
        if self.peer is None:
            if kind != FrameType.HELLO:
                raise FramingError("the first frame is not a greeting")
            self._greeted(frames.decode_hello(payload))
        elif kind == FrameType.PROOF:
            self._proven(payload)
        elif kind == FrameType.PING:
            if len(payload) > frames.MAX_PING:
                raise FramingError(f"a PING of {len(payload)} bytes; {frames.MAX_PING} at most")
            self._send(FrameType.PONG, payload)
        elif kind == FrameType.PONG:
            self._call(self._on_pong, payload)
        elif kind == FrameType.GOING_AWAY:
            self.going_away = True
            self._call(self._on_going_away, payload.decode(errors="replace"))
        elif kind == FrameType.HELLO:
            raise FramingError("a second greeting")
        elif _TUNNEL.get(kind) is self.seat:
            self._receive_of_tunnel(kind, payload)
        # Anything else is of a later minor version, or for another seat: ignored.

    def _receive_of_tunnel(self, kind: int, payload: bytes) -> None:
        if kind == FrameType.INVOKE:
            self._call(self._on_invoke, frames.decode_invoke(payload))
        else:
            self._call(self._on_done if kind == FrameType.DONE else self._on_declined, frames.decode_id(payload))

    def _greeted(self, hello: Hello) -> None:
        if hello.seat != self.seat.peer:
            raise FramingError(f"seat {hello.seat} has no place across from {self.seat.name}")
        if hello.max_frame < frames.HELLO_LIMIT or hello.window < 1:
            raise FramingError("the greeting's limits are too small to be used")
        if len(hello.nonce) not in (0, NONCE_BYTES):
            raise FramingError(f"a nonce of {len(hello.nonce)} bytes instead of {NONCE_BYTES}")
        self.peer = hello
        self._peer_nonce = hello.nonce
        self.peer_max_frame = min(hello.max_frame, frames.MAX_PAYLOAD)
        self.peer_window = hello.window
        self.takes_answers = hello.minor >= 2
        self.max_data = min(MAX_DATA, hello.max_frame)
        if self._key is None:
            if hello.nonce:
                raise ProofError("the other side asks for the link's key, and this side has none")
            self._become_ready()
        elif not hello.nonce:
            raise ProofError("the other side has no key for this link")
        else:
            proof = prove(self._key, self.seat, self._nonce, hello.nonce)
            self._send(FrameType.PROOF, proof)

    def _proven(self, payload: bytes) -> None:
        if self._key is None or self.ready:
            raise FramingError("a proof that nobody asked for")
        if not verify(payload, self._key, self.seat.peer, self._nonce, self._peer_nonce):
            raise ProofError("the other side does not know the key of this link")
        self._become_ready()

    def _become_ready(self) -> None:
        self.ready = True
        self._reader.max_frame = self.limits.max_frame
        self._call(self._on_ready)

    def _receive_on_stream(self, kind: int, stream_id: int, payload: bytes) -> None:
        if not self.ready:
            raise FramingError("a stream before the greeting was over")
        stream = self._streams.get(stream_id)
        if stream is None:
            if kind == FrameType.OPEN and stream_id > self._last_id and not self.seat.opens:
                self._opened(stream_id, payload)
            # A frame of a stream that is over, or that never was, has no stream to reset: passed over.
            return
        try:
            stream.receive(kind, payload)
        except StreamViolation as violation:
            stream.reset(str(violation))
        except Exception as error:
            self.failed(stream, error)

    def _opened(self, stream_id: int, payload: bytes) -> None:
        self._last_id = stream_id
        stream = self._add(stream_id, BaseSink())
        try:
            opened = frames.decode_open(payload)
            if isinstance(opened, Request) == self.asks:
                raise StreamViolation(f"{self.seat.name} takes no OPEN of this kind")
            stream.opened(opened, len(payload))
            if self.going_away:
                stream.refuse(Refusal.UNAVAILABLE, "going away")
            elif len(self._streams) > self.limits.max_streams:
                stream.refuse(Refusal.UNAVAILABLE, f"more than {self.limits.max_streams} streams")
            else:
                sink = self._on_open(stream, opened)
                if not stream.over:
                    stream.sink = sink
        except StreamViolation as violation:
            stream.reset(str(violation))
        except Exception as error:
            self.failed(stream, error)

    def failed(self, stream: Stream, error: Exception) -> None:
        """A sink raised: its stream alone is over. For streams."""
        self._on_error(error, stream.id)
        stream.abandon("internal error")

    def tell(self, stream: Stream, callback: Callable[..., None], *arguments: object) -> None:
        """Call a sink from a place that must not fail. For streams."""
        try:
            callback(*arguments)
        except Exception as error:
            self.failed(stream, error)

    def _call(self, callback: Callable[..., None], *arguments: object) -> None:
        """Call the carrier's owner; an exception is reported and goes no further."""
        try:
            callback(*arguments)
        except Exception as error:
            self._on_error(error, 0)

    # --- sending ------------------------------------------------------------------------------------------------------

    def _send(self, kind: FrameType, payload: bytes) -> None:
        """Queue a frame of the carrier's own; it leaves with this tick."""
        if self.lost_because is None:
            self.outlet.put(kind, 0, payload)
            self.schedule()

    def schedule(self) -> None:
        """See to it that what is queued leaves at the end of this tick."""
        if not self._deferred:
            self._deferred = True
            self._defer(self._end_of_tick)

    def take_turn(self, stream: Stream, flush: bool) -> None:
        """`stream` has bytes and credit; with `flush` an eager mux sends the first of a tick at once. For streams."""
        if not stream.in_turn:
            stream.in_turn = True
            self._sendable.append(stream)
        self.schedule()
        if flush and self.sends_early:
            self.sends_early = False
            self.flush()

    def forget(self, stream: Stream) -> None:
        """`stream` is over. For streams."""
        self._streams.pop(stream.id, None)

    def _end_of_tick(self) -> None:
        self._deferred = False
        self.sends_early = self._eager
        self.flush()

    def flush(self) -> None:
        """Hand what may leave to the carrier, until it says `pause`."""
        if self._flushing:
            return
        self._flushing = True
        try:
            while not self._paused and self.lost_because is None and (self.outlet or self._sendable):
                size = 0
                while self._sendable and size < FLUSH_BYTES:
                    stream = self._sendable.popleft()
                    stream.in_turn = False
                    size += stream.take()
                self.outlet.leave()
                leaving, self.leaving = self.leaving, []
                for stream in leaving:
                    stream.left()
        except Exception as error:
            # A transport that is already closed raises (uvloop's does): that is the carrier's death, nobody else's.
            self._on_error(error, 0)
            self.lost(f"the carrier cannot be written to: {error}")
        finally:
            self._flushing = False
