"""One stream: the state of its two halves, its credit, and what it still has to say."""

from collections.abc import Callable

from . import frames, last_words
from .carrier import Carrier
from .errors import LocalError, StreamViolation
from .flow import ReceiveWindow
from .frames import KNOWN, FrameType
from .messages import Accept, End, Fields, Head, Info, Reason, Refusal, Request, Verdict
from .outbox import Outbox
from .sink import BaseSink, StreamSink
from .tables import BODY, Body, Response

Tap = Callable[[bool, int, int], None]
"""Is told of every frame of a stream: whether it was sent (or came), its type, the size of its payload in bytes."""

_NOBODY = BaseSink()
# Looking up a member of an enumeration costs more than comparing it, and these are asked for with every frame.
_IDLE, _OPENING, _WAITING = Response.IDLE, Response.OPENING, Response.WAITING
_STREAMING, _CANCELLING, _CLOSED = Response.STREAMING, Response.CANCELLING, Response.CLOSED
_BODY_NONE, _BODY_STREAMING, _BODY_ENDED = Body.NONE, Body.STREAMING, Body.ENDED
_HEAD, _END, _ANSWER = FrameType.HEAD, FrameType.END, FrameType.ANSWER
_DATA = int(FrameType.DATA)
_WINDOW = int(FrameType.WINDOW)
_BODY_FRAMES = frozenset({FrameType.DATA, FrameType.TRAILERS, FrameType.END})

MAX_ANSWER = 16 * 1024
"""Bytes of a body that leaves in one frame with its head: a larger one would gain nothing, and be copied once more."""

MAX_INFOS = 32
"""Interim responses of one stream. They need no credit, so their number is bounded."""


class Stream:
    """One request and its response, seen from one side. Made by a `Mux`.

    The asker writes the request's body, accepts tokens and cancels; the answerer writes the response. Both say
    `consumed`. A call that comes too late, because the stream is over or cancelled, does nothing; one that was never
    legal raises LocalError.
    """

    __slots__ = (
        "_asks",
        "_body",
        "_credited",
        "_ending",
        "_incoming",
        "_infos",
        "_mux",
        "_outbox",
        "_receivable",
        "_response",
        "_sendable",
        "_tail",
        "id",
        "in_turn",
        "opened_bytes",
        "sink",
        "tap",
    )

    def __init__(self, mux: "Carrier[Stream]", stream_id: int, sink: StreamSink) -> None:
        self.id = stream_id
        self.sink = sink
        self.tap: Tap | None = None
        self.in_turn = False
        self.opened_bytes = 0
        """Size of the payload of the other side's OPEN, which came before there could be a tap."""
        self._mux = mux
        self._asks = mux.asks
        self._sendable = mux.sends
        self._receivable = mux.receives
        self._response = _IDLE
        self._body = _BODY_NONE
        self._outbox = Outbox(mux.peer_window)
        self._incoming = ReceiveWindow(mux.limits.window, mux.limits.max_window, mux.budget)
        self._tail: bytes | None = None
        """The payload of TRAILERS, behind everything that is queued."""
        self._ending: End | None = None
        self._credited = False
        self._infos = 0

    # --- what can be seen ---------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether nothing more can happen on this stream."""
        return self._response is _CLOSED

    @property
    def response(self) -> Response:
        """State of the response half."""
        return self._response

    @property
    def body(self) -> Body:
        """State of the request half."""
        return self._body

    @property
    def queued(self) -> int:
        """Bytes that were written and have not left yet."""
        return self._outbox.queued

    @property
    def credit(self) -> int:
        """Bytes that the other side would take now."""
        return self._outbox.window.credit

    def has_room(self, most: int) -> bool:
        """Whether not more is queued than the other side would take now, nor more than `most` bytes."""
        outbox = self._outbox
        queued, window = outbox.queued, outbox.window
        return queued <= most and queued <= window.limit - window.sent

    @property
    def sent(self) -> int:
        """Bytes of DATA that have left."""
        return self._outbox.window.sent

    @property
    def received(self) -> int:
        """Bytes of DATA that have come."""
        return self._incoming.received

    # --- opening ------------------------------------------------------------------------------------------------------

    def open(self, payload: bytes, *, body: bool) -> None:
        """Send OPEN. For the mux."""
        self._advance(FrameType.OPEN)
        self._body = _BODY_STREAMING if body else _BODY_NONE
        self._send(FrameType.OPEN, payload)

    def opened(self, opened: Request | bytes, size: int) -> None:
        """The other side's OPEN came, `size` bytes of payload. For the mux."""
        self.opened_bytes = size
        self._response = self._receivable[_IDLE, FrameType.OPEN]
        if isinstance(opened, Request) and opened.body_length != 0:
            self._body = _BODY_STREAMING

    def accept(self, resume_token: bytes = b"", *, body: bool = False) -> None:
        """Asker: let the opener of a token in. `body`: the request's body follows."""
        payload = self._mux.fitting(frames.encode_accept(Accept(resume_token, body)))
        if self._advance(FrameType.ACCEPT):
            self._body = _BODY_STREAMING if body else _BODY_NONE
            self._send(FrameType.ACCEPT, payload)

    def refuse(self, code: Refusal, reason: str) -> None:
        """Do not let the other side's stream in. Nothing has run, nothing will."""
        if self._response is _CANCELLING:
            self.end(Verdict.CANCELLED, detail=reason)
        elif self._advance(FrameType.REFUSE):
            self._send(FrameType.REFUSE, frames.encode_refuse(code, reason))
            self._close()

    # --- saying -------------------------------------------------------------------------------------------------------

    def cancel(self, reason: Reason, detail: str = "") -> None:
        """Asker: want no more. What is queued is dropped; `on_end` follows when the other side has stopped."""
        if self._advance(FrameType.CANCEL):
            self._drop()
            self._body = _BODY_ENDED
            self._send(FrameType.CANCEL, frames.encode_cancel(reason, detail))

    def info(self, info: Info) -> None:
        """Answerer: send an interim response. Raises LocalError for one too many or too large."""
        payload = self._mux.fitting(frames.encode_head(info))
        if self._infos == MAX_INFOS:
            raise LocalError(f"more than {MAX_INFOS} interim responses")
        if self._advance(FrameType.INFO):
            self._infos += 1
            self._send(FrameType.INFO, payload)

    def head(self, head: Head) -> None:
        """Answerer: send the response's head. Raises LocalError when it is too large for a frame."""
        payload = self._mux.fitting(frames.encode_head(head))
        if self._advance(_HEAD):
            self._send(_HEAD, payload)

    def answer(self, head: Head, body: bytes) -> None:
        """Answerer: send a whole response, in one frame if it is small and the other side knows that frame.

        Else as `head`, `write` and `end` with OK do. Of one frame `on_sent` says nothing: `on_closed` follows. Raises
        LocalError when the head is too large for a frame.
        """
        mux, window = self._mux, self._outbox.window
        size = len(body)
        if mux.takes_answers and size <= MAX_ANSWER and size <= window.credit and not self._asks:
            payload = frames.encode_answer(head, body)
            if len(payload) <= mux.peer_max_frame:
                if self._advance(_ANSWER):
                    window.sent += size
                    self._put(_ANSWER, payload)
                    self._close()
                    mux.leaving.append(self)
                    mux.schedule()
                return
        self.head(head)
        self.write(body)
        self.end(Verdict.OK)

    def write(self, data: bytes, *, flush: bool = True) -> None:
        """Queue bytes of our body. They leave as credit allows; `on_sent` tells.

        With `flush` an eager mux sends the first bytes of a tick at once; without, they wait for the tick's end.
        """
        # As `_advance` would have it, without asking: a stream may be written to a million times.
        giving = self._body is _BODY_STREAMING if self._asks else self._response is _STREAMING
        if ((giving and self._ending is None) or self._advance(FrameType.DATA)) and data:
            self._outbox.put(data)
            if not self.in_turn or (flush and self._mux.sends_early):
                self._wake(flush)

    def trailers(self, fields: Fields) -> None:
        """Send trailer fields, behind everything that was written. Raises LocalError when they are too large."""
        payload = self._mux.fitting(frames.encode_fields(fields))
        if self._advance(FrameType.TRAILERS):
            if self.queued:
                self._tail = payload
            else:
                self._send(FrameType.TRAILERS, payload)

    def end(self, verdict: Verdict, *, status: int = 0, code: str = "", detail: str = "", retry_after: int = 0) -> None:
        """Finish our direction, behind everything that was written. A second END does nothing.

        Raises LocalError for an answerer's OK without a head, and for a `status` or `retry_after` out of range. After a
        CANCEL an OK becomes CANCELLED: not all was sent.
        """
        if not (0 <= status <= 999 and 0 <= retry_after <= 0xFFFF):
            raise LocalError(f"END with status {status} and retry after {retry_after} s")
        if self._ending is not None or (self._asks and self._body is _BODY_ENDED):
            return
        if self._response is _CANCELLING and not self._asks:
            verdict = Verdict.CANCELLED if verdict is Verdict.OK else verdict
        elif not self._advance(_END):
            return
        elif verdict is Verdict.OK and not self._asks and self._response in (_WAITING, _OPENING):
            raise LocalError("an END that says OK needs a HEAD before it")
        self._ending = End(verdict, 0, status, code, detail, retry_after)
        if not self.queued:
            self._finish()
            self._mux.schedule()

    def consumed(self, count: int) -> None:
        """`count` bytes that `on_data` brought have gone on. Raises ValueError when more is consumed than came."""
        if self._incoming.consume(count):
            self.invite()

    def invite(self) -> None:
        """Send a WINDOW now. Before any body was consumed it says that it is wanted (an edge's 100 Continue)."""
        wanted = self._response in (_WAITING, _STREAMING) if self._asks else self._body is _BODY_STREAMING
        if wanted:
            self._send(FrameType.WINDOW, frames.encode_window(self._incoming.consumed, self._incoming.limit))

    def _takes_data(self) -> bool:
        return self._response is _STREAMING if self._asks else self._body is _BODY_STREAMING

    def _advance(self, kind: FrameType) -> bool:
        """Take our step for `kind`. False when it comes too late to matter; LocalError when it is not legal."""
        if self._response in (_CANCELLING, _CLOSED):
            return False
        ours = self._asks and kind in _BODY_FRAMES
        if self._ending is not None and (ours or not self._asks):
            raise LocalError(f"{kind.name} after END")
        response = self._response if ours else self._sendable.get((self._response, kind))
        body = BODY.get((self._body, kind)) if ours else self._body
        if response is None or body is None:
            state = f"the body is {self._body.value}" if ours else f"the response is {self._response.value}"
            raise LocalError(f"{self._mux.seat.name} may not send {kind.name} when {state}")
        if kind is not _END:
            # END takes effect when it leaves, behind the data.
            self._response, self._body = response, body
        return True

    # --- leaving ------------------------------------------------------------------------------------------------------

    def _put(self, kind: FrameType, payload: bytes) -> None:
        if self.tap is not None:
            self.tap(True, kind, len(payload))
        self._mux.outlet.put(kind, self.id, payload)

    def _send(self, kind: FrameType, payload: bytes) -> None:
        self._put(kind, payload)
        self._mux.schedule()

    def _wake(self, flush: bool) -> None:
        if self._outbox.sendable:
            self._mux.take_turn(self, flush)

    def take(self) -> int:
        """Put what credit allows, one frame of DATA at most, into the outlet. Returns its bytes. For the mux."""
        outbox = self._outbox
        count = min(outbox.sendable, self._mux.max_data)
        if not count:
            return 0
        self._mux.outlet.put_data(self.id, count, outbox.take(count))
        if self.tap is not None:
            self.tap(True, _DATA, count)
        if not outbox.queued:
            if self._tail is not None:
                self._put(FrameType.TRAILERS, self._tail)
                self._tail = None
        else:
            self._wake(False)
        self._mux.tell(self, self.sink.on_sent, count)
        # The sink may have written, ended or cancelled meanwhile.
        if self._ending is not None and not outbox.queued:
            self._finish()
        return count

    def _finish(self) -> None:
        """Everything has left: END follows it."""
        ending, self._ending = self._ending, None
        assert ending is not None
        counted = End(ending.verdict, self.sent, ending.status, ending.code, ending.detail, ending.retry_after)
        self._put(_END, frames.encode_end(counted))
        if self._asks:
            self._body = _BODY_ENDED
        else:
            self._close()
            self._mux.leaving.append(self)

    def left(self) -> None:
        """The carrier took our END. For the mux."""
        self._mux.tell(self, self._let_go().on_closed)

    def _let_go(self) -> StreamSink:
        """The sink, for its last word. Without it the stream and its owner are no ring for the garbage collector."""
        sink, self.sink, self.tap = self.sink, _NOBODY, None
        return sink

    def _drop(self) -> None:
        self._outbox.drop()
        self._tail = None
        self._ending = None

    def _close(self) -> None:
        self._response = _CLOSED
        self._body = _BODY_ENDED
        self._drop()
        self._incoming.close()
        self._mux.forget(self)

    # --- coming -------------------------------------------------------------------------------------------------------

    def receive(self, kind: int, payload: bytes) -> None:
        """A frame came. Raises StreamViolation, and whatever a sink raises. For the mux."""
        if self.tap is not None:
            self.tap(False, kind, len(payload))
        if kind == _DATA and self._takes_data():
            # As the tables have it, without looking there: nearly all frames are these.
            self._receive_data(payload)
        elif kind == _WINDOW:
            self._receive_window(payload)
        elif (known := KNOWN.get(kind)) is None:
            # Of a later minor version.
            return
        elif self._asks or known not in _BODY_FRAMES:
            self._receive_response(known, payload)
        else:
            self._receive_body(known, payload)

    def _receive_window(self, payload: bytes) -> None:
        consumed, limit = frames.decode_window(payload)
        if self._response is _CANCELLING:
            return
        self._outbox.window.update(consumed, limit)
        if not self._credited:
            self._credited = True
            self.sink.on_credit()
        self._wake(False)

    def _receive_response(self, kind: FrameType, payload: bytes) -> None:
        before = self._response
        following = self._receivable.get((before, kind))
        if following is None:
            raise StreamViolation(f"{kind.name} when the response is {before.value}")
        if kind is _END:
            self._receive_end(payload)
            return
        if kind is _ANSWER:
            self._receive_answer(payload)
            return
        if kind is FrameType.REFUSE:
            self._receive_refuse(payload)
            return
        if kind is FrameType.CANCEL:
            self._receive_cancel(payload)
            return
        self._response = following
        if before is _CANCELLING:
            # On its way before the other side saw our CANCEL.
            return
        if kind is _HEAD:
            self.sink.on_head(Head(*frames.decode_head(payload)))
        elif kind is FrameType.INFO:
            self._infos += 1
            if self._infos > MAX_INFOS:
                raise StreamViolation(f"more than {MAX_INFOS} interim responses")
            self.sink.on_info(Info(*frames.decode_head(payload)))
        elif kind is FrameType.TRAILERS:
            self.sink.on_trailers(frames.decode_trailers(payload))
        else:
            accept = frames.decode_accept(payload)
            self._body = _BODY_STREAMING if accept.body else _BODY_NONE
            self.sink.on_accept(accept)

    def _receive_data(self, payload: bytes) -> None:
        if payload:
            self._incoming.receive(len(payload))
            self.sink.on_data(payload)

    def _receive_refuse(self, payload: bytes) -> None:
        """Nothing ran. A REFUSE that cannot be read says so as well, and is the last frame of its stream."""
        try:
            code, reason = frames.decode_refuse(payload)
        except StreamViolation as violation:
            code, reason = Refusal.UNAVAILABLE, str(violation)
        self._close()
        self._let_go().on_refuse(code, reason)

    def _receive_end(self, payload: bytes) -> None:
        before, received = self._response, self.received
        headless = before is _WAITING or before is _OPENING
        end = last_words.response_end(payload, received, headless=headless, cancelled=before is _CANCELLING)
        self._close()
        self._let_go().on_end(end)

    def _receive_answer(self, payload: bytes) -> None:
        cancelled = self._response is _CANCELLING
        self._close()
        sink = self._let_go()
        try:
            status, fields, body = frames.decode_answer(payload)
            self._incoming.receive(len(body))
        except StreamViolation as violation:
            sink.on_end(last_words.violated(str(violation), self.received))
            return
        if cancelled:
            sink.on_end(End(Verdict.OK, len(body)))
            return
        try:
            sink.on_answer(Head(status, fields), body)
        except Exception:
            # The stream is over, so nobody else will tell.
            self._mux.tell(self, sink.on_lost, "internal error")
            raise

    def _receive_cancel(self, payload: bytes) -> None:
        reason, detail = frames.decode_cancel(payload)
        ending = self._ending
        self._response, self._body = _CANCELLING, _BODY_ENDED
        self._drop()
        self.sink.on_cancel(reason, detail)
        if ending is not None:
            # All was written, not all had left.
            self.end(ending.verdict, code=ending.code, detail=ending.detail or detail)

    def _receive_body(self, kind: FrameType, payload: bytes) -> None:
        following = BODY.get((self._body, kind))
        if following is None:
            raise StreamViolation(f"{kind.name} when the request's body is {self._body.value}")
        self._body = following
        if kind is FrameType.TRAILERS:
            self.sink.on_trailers(frames.decode_trailers(payload))
        else:
            self.sink.on_end(last_words.body_end(payload, self.received))

    # --- failing ------------------------------------------------------------------------------------------------------

    def reset(self, why: str) -> None:
        """The other side broke a rule of this stream: end it on both sides. For the mux."""
        if self.over:
            return
        cancelled = self._response is _CANCELLING
        self._give_up(Reason.PROTOCOL, Verdict.PROTOCOL, "protocol_violation", why)
        if self._asks:
            sink, self.sink = self.sink, _NOBODY
            self._mux.tell(self, sink.on_end, last_words.violated(why, self.received))
            return
        if not cancelled:
            self._mux.tell(self, self.sink.on_cancel, Reason.PROTOCOL, why)
        self._mux.leaving.append(self)

    def abandon(self, why: str) -> None:
        """This side cannot go on with the stream (its sink raised). For the mux."""
        if not self.over:
            self._give_up(Reason.KILLED, Verdict.ERROR, "internal_error", why)
            sink, self.sink = self.sink, _NOBODY
            self._mux.tell(self, sink.on_lost, why)

    def _give_up(self, reason: Reason, verdict: Verdict, code: str, why: str) -> None:
        """Tell the other side. The sink is to hear its last word, and no more."""
        self._drop()
        if not self._asks:
            end = End(verdict, self.sent, 500, code, why)
            self._send(_END, frames.encode_end(end))
            self._close()
        elif self._response in (_OPENING, _IDLE):
            self._send(FrameType.REFUSE, frames.encode_refuse(Refusal.UNAVAILABLE, why))
            self._close()
        elif self._response is not _CANCELLING:
            self._send(FrameType.CANCEL, frames.encode_cancel(reason, why))
            self._response = _CANCELLING
            self._body = _BODY_ENDED

    def lose(self, why: str) -> None:
        """The carrier is gone. For the mux."""
        self._close()
        sink = self._let_go()
        self._mux.tell(self, sink.on_lost, why)
