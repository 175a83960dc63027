"""One client's connection: reads one request at a time, in order, and gives each to an exchange.

The phases follow RFC 9112, 9. A connection is IDLE, reads a HEAD, is in an EXCHANGE, perhaps DISCARDs the rest of a
body that nobody wants, and is IDLE again. In the end it LINGERs (all is said; the client's bytes are read and dropped
so that it gets to see the answer), is CLOSING (what was written still leaves) or RESETTING (then RST tells of a
truncation).
"""

import asyncio
from enum import Enum

from dialback_wire.messages import Reason

from .access_log import AccessRecord
from .client_socket import ClientSocket, Hold
from .context import EdgeContext
from .errors import Rejected
from .exchange import Exchange
from .request_reader import RequestReader
from .response_head import ResponseHead


class Phase(Enum):
    """What a connection is doing."""

    __hash__ = object.__hash__  # in C; Enum's own is a Python function

    IDLE = "idle"
    HEAD = "head"
    EXCHANGE = "exchange"
    DISCARD = "discard"
    LINGER = "linger"
    CLOSING = "closing"
    RESETTING = "resetting"
    CLOSED = "closed"


_READING = frozenset({Phase.IDLE, Phase.HEAD})
_ENDING = frozenset({Phase.LINGER, Phase.CLOSING, Phase.RESETTING, Phase.CLOSED})


class ClientConnection(asyncio.Protocol):
    """The state machine of one connection."""

    __slots__ = (
        "_advancing",
        "_body_mark",
        "_client_closes",
        "_deadline",
        "_edge",
        "_exchange",
        "_first_byte_at",
        "_last",
        "_late_record",
        "_linger_left",
        "_loop",
        "_reader",
        "last_head",
        "now",
        "phase",
        "socket",
        "write_paused",
    )

    def __init__(self, edge: EdgeContext, loop: asyncio.AbstractEventLoop) -> None:
        self._edge = edge
        self._loop = loop
        self.now = loop.time
        self.phase = Phase.IDLE
        self.write_paused = False
        self._reader = RequestReader(edge.settings.limits)
        self.last_head: ResponseHead | None = None
        """The last answer's, in case that the next begins the same; like the reader's, until the next tick."""
        self._exchange: Exchange | None = None
        self._body_mark = 0
        self._deadline = 0.0
        self._first_byte_at = 0.0
        self._client_closes = False
        self._last = False
        self._advancing = False
        self._late_record: AccessRecord | None = None
        self._linger_left = 0

    # --- the transport's side -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self.socket = ClientSocket(self._loop, transport, self._edge.settings)
        self._edge.connections.add(self)
        self._set_phase(Phase.IDLE, self._edge.settings.timeouts.idle)

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        phase = self.phase
        if phase in _READING:
            self._reader.keep(data)
            self._advance()
            if self._reader.waiting:
                self._bound_pipeline()
        elif phase is Phase.LINGER:
            self._linger_left -= len(data)
            if self._linger_left < 0:
                self._close()
        elif self._reader.body is not None:
            self._read_body(data)
            if phase is Phase.DISCARD:
                self._linger_left -= len(data)
                if self._linger_left < 0 and self.phase is Phase.DISCARD:
                    self._finish()
        else:
            self._reader.keep(data)
            self._bound_pipeline()

    def eof_received(self) -> None:
        """The client has closed its half: it counts as gone. The transport closes itself, after what was written."""
        if self.phase is Phase.HEAD:
            self._note_lost_head()
        exchange = self._exchange
        if exchange is None:
            return
        if self.upload_pending and not exchange.head_sent:
            # The client may still read. The function gets a disconnect, never a clean end.
            exchange.upload_failed(Rejected(400, "body_cut_short", "The request's body ended before its end."))
        else:
            exchange.abandon("C", "the client left")
            self._abort()

    def pause_writing(self) -> None:
        """The client reads more slowly than the upstream writes."""
        self.write_paused = True

    def resume_writing(self) -> None:
        """There is room again."""
        self.write_paused = False
        self._say_late_record("")
        if self._exchange is not None:
            self._exchange.drained()
        else:
            self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, by whichever side."""
        if self.phase is Phase.HEAD:
            self._note_lost_head()
        self._set_phase(Phase.CLOSED)
        self._edge.forget(self)
        self._say_late_record("CE")
        if self._exchange is not None:
            self._exchange.abandon("C", "the client left")
            self._exchange = None

    # --- reading requests ---------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Take requests from what has come, one after the other, as long as each is answered at once."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self.phase in _READING and self._reader.waiting and not self.write_paused and self._begin():
                pass
        finally:
            self._advancing = False
        if self.socket.held and self._reader.waiting * 2 <= self._edge.settings.limits.pipelined:
            self.socket.release(Hold.PIPELINE)

    def _begin(self) -> bool:
        """Start the next exchange if its head is complete."""
        reader, timeouts = self._reader, self._edge.settings.timeouts
        first = self.phase is Phase.IDLE
        if first:
            self._first_byte_at = self.now()
        try:
            head = reader.next_head()
        except Rejected as rejected:
            self._reject(rejected)
            return False
        if head is None:
            if first and reader.has_begun():
                self._set_phase(Phase.HEAD, timeouts.head)
            return False
        self._client_closes = not head.keep_alive
        self._body_mark = 0
        self._set_phase(Phase.EXCHANGE, timeouts.body if reader.body is not None else 0.0)
        self._exchange = Exchange(self, self._edge, head, self._first_byte_at)
        self._exchange.start()
        if reader.body is not None and reader.waiting:
            self._read_body(None)
        return True

    def _reject(self, rejected: Rejected) -> None:
        """What came is no request: say so, and read no further, for nobody knows where the next one would begin."""
        self._reader.clear()
        self._client_closes = False
        self._set_phase(Phase.EXCHANGE)
        self._exchange = Exchange(self, self._edge, None, self._first_byte_at)
        self._exchange.refuse(rejected)

    def _read_body(self, data: bytes | None) -> None:
        """Bytes while a body is awaited: those given, or those that came with the head."""
        reader = self._reader
        try:
            payload = reader.take_kept_body() if data is None else reader.take_body(data)
        except Rejected as rejected:
            if self._exchange is None:
                self._close()
            else:
                self._exchange.upload_failed(rejected, Reason.PROTOCOL)
            return
        if payload and self._exchange is not None:
            self._exchange.upload(payload)
        if reader.body is not None:
            return
        if self._exchange is not None:
            self._exchange.uploaded()
            self._bound_pipeline()
        elif self.phase is Phase.DISCARD:
            self._set_phase(Phase.IDLE, self._edge.settings.timeouts.idle)
            self._advance()

    def _bound_pipeline(self) -> None:
        """Read no further ahead than the limit, unless it is a head that is still incomplete."""
        waiting = self._reader.waiting
        if waiting > self._edge.settings.limits.pipelined and (self.phase not in _READING or self.write_paused):
            self.socket.hold(Hold.PIPELINE)

    def _note_lost_head(self) -> None:
        self._set_phase(Phase.CLOSING)
        exchange = Exchange(self, self._edge, None, self._first_byte_at)
        exchange.abandon("C", "the client left within a request's head", phase="R")

    # --- what the exchange uses ---------------------------------------------------------------------------------------

    @property
    def upload_pending(self) -> bool:
        """Whether the request's body is not complete yet."""
        return self._reader.body is not None

    def must_close(self, *, final: bool) -> bool:
        """Whether the answer that begins (or, `final`, is whole) is this connection's last."""
        if self._last or self._edge.draining:
            return True
        if not final or self._reader.body is None:
            return False
        # After a 100 Continue that was never sent, nobody knows whether the body will come.
        unsure = self._exchange is not None and self._exchange.awaits_continue
        return unsure or not self._reader.rest_is_small()

    def make_last(self) -> None:
        """No request can follow on this connection: where it would begin is not known."""
        self._last = True

    def answered(self, keep_alive: bool) -> None:
        """The answer is completely written."""
        self.socket.flush()
        self._exchange = None
        if self.phase in _ENDING:
            return
        if self.socket.held:
            self.socket.release(Hold.UPLOAD)
        timeouts = self._edge.settings.timeouts
        if not keep_alive:
            self._finish()
        elif self._reader.body is not None:
            self._linger_left = self._edge.settings.limits.discard
            self._set_phase(Phase.DISCARD, timeouts.linger)
        else:
            self._set_phase(Phase.IDLE, timeouts.idle)
            if self._reader.waiting:
                self._advance()

    def truncated(self, *, reset: bool) -> None:
        """The answer is not complete and will not be: what was written leaves, then the client sees that."""
        self.socket.flush()
        self._exchange = None
        if self.phase in _ENDING:
            return
        if reset:
            self.socket.hold(Hold.UPLOAD)
            self._set_phase(Phase.RESETTING, self._edge.settings.timeouts.linger)
            self._reset_when_arrived()
        else:
            self._finish()

    def log(self, record: AccessRecord) -> None:
        """Log a finished request; one whose last bytes still wait for the client, when they are gone."""
        if self.write_paused and record.code == "--":
            self._late_record = record
        else:
            self._edge.log(record)

    def _say_late_record(self, code: str) -> None:
        record, self._late_record = self._late_record, None
        if record is not None:
            if code:
                record.code, record.by = code, "client"
            self._edge.log(record)

    # --- what the service uses ----------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._exchange is not None

    def drain(self) -> None:
        """No further request on this connection: close it now if it is idle, else after its answer."""
        if self.phase is Phase.IDLE:
            self._close()
        elif self.phase is Phase.DISCARD:
            self._finish()

    def cut(self) -> None:
        """The grace is over: end what runs so that the client can tell."""
        if self._exchange is not None:
            self._exchange.cut()
        elif self.phase not in _ENDING:
            self._close()

    def abort(self) -> None:
        """Close at once, with RST."""
        if self._exchange is not None:
            self._exchange.abandon("K", "the edge stops", Reason.SHUTDOWN)
            self._exchange = None
        self._abort()

    def tick(self, now: float) -> None:
        """Look at the clocks."""
        self._reader.forget()
        self.last_head = None
        if self.socket.is_stalled(now):
            if self._exchange is not None:
                self._exchange.abandon("c", "the client stopped reading")
            self._say_late_record("cD")
            self._abort()
        elif self.phase is Phase.EXCHANGE:
            self._tick_exchange(now)
        elif self.phase is Phase.RESETTING and now <= self._deadline:
            self._reset_when_arrived()
        elif self._deadline and now > self._deadline:
            self._time_out()

    # --- clocks -------------------------------------------------------------------------------------------------------

    def _time_out(self) -> None:
        if self.phase is Phase.HEAD:
            self._reject(Rejected(408, "head_timeout", "The request's head did not arrive in time."))
        elif self.phase is Phase.DISCARD:
            self._finish()
        elif self.phase is Phase.RESETTING:
            self._abort()
        else:
            self._close()

    def _tick_exchange(self, now: float) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        if self.socket.held and self.socket.has_left():
            exchange.abandon("C", "the client left while reading from it was paused")
            self._abort()
            return
        if self.upload_pending and self._deadline:
            if self.socket.held or exchange.awaits_continue:
                self._restart_body_clock(now)
            elif now > self._deadline:
                least = 1 if exchange.head_sent else self._edge.settings.timeouts.body_bytes
                if self._reader.body_bytes - self._body_mark < least:
                    exchange.upload_failed(Rejected(408, "body_timeout", "The request's body came too slowly."))
                    return
                self._restart_body_clock(now)
        exchange.tick()

    def _restart_body_clock(self, now: float) -> None:
        self._deadline = now + self._edge.settings.timeouts.body
        self._body_mark = self._reader.body_bytes

    # --- phases and endings -------------------------------------------------------------------------------------------

    def _set_phase(self, phase: Phase, seconds: float = 0.0) -> None:
        self.phase = phase
        self._deadline = self.now() + seconds if seconds else 0.0

    def _finish(self) -> None:
        """All is said: FIN behind it. The client's bytes are still read for a while, lest a RST overtake the answer."""
        if self._client_closes and not self.upload_pending and not self._reader.waiting:
            self._close()
            return
        self._reader.clear()
        self._linger_left = self._edge.settings.limits.linger
        self._set_phase(Phase.LINGER, self._edge.settings.timeouts.linger)
        self.socket.send_fin()

    def _close(self) -> None:
        self._set_phase(Phase.CLOSING)
        self.socket.close()

    def _abort(self) -> None:
        if self.phase is not Phase.CLOSED:
            self._set_phase(Phase.CLOSING)
            self.socket.abort()

    def _reset_when_arrived(self) -> None:
        """RST throws away what the kernel has not delivered, so it waits for that."""
        if self.socket.all_arrived():
            self._abort()
