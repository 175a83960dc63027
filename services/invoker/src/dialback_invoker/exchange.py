"""One request and its response, where the client's stream and the worker's answer meet.

The client's side is a stream of a link, whose sink this is. The worker's side is a `Source`: a callback stream
(`callback.py`) or a whole value from the runtime API (`buffered.py`); both bring the same head, data and end. Bytes are
taken from the source only as fast as they leave for the client, and nothing ends well that did not.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol
from zlib import crc32

from dialback_invoker.blockage import Blockage
from dialback_invoker.function_config import Timeouts
from dialback_invoker.outcome import Failure, Outcome, timed_out
from dialback_invoker.timeline import Timeline
from dialback_invoker.timeouts import Deadlines, Newcomers
from dialback_invoker.upload import Upload
from dialback_wire import fields as header_rules
from dialback_wire.errors import StreamViolation
from dialback_wire.frames import FrameType
from dialback_wire.messages import End, Fields, Head, Info, Reason, Request, Verdict
from dialback_wire.sink import BaseSink
from dialback_wire.stream import Stream
from dialback_wire.tokens import redact


class Owner(Protocol):
    """Who sees the exchange through."""

    def source_over(self) -> None:
        """The source has ended, or there never will be one."""

    def client_over(self) -> None:
        """The client's side has its outcome."""


class Source(Protocol):
    """Where the response comes from."""

    def consumed(self, count: int) -> None:
        """`count` bytes of what it brought have gone on."""

    def cancel(self, reason: Reason, detail: str) -> None:
        """Nobody wants the rest."""


LOST_SECONDS = 0.5
"""How long the reason of a worker's death is waited for, once its socket has broken."""

CHECKED_BYTES = 1024 * 1024
"""How much of a response's body its checksum covers: enough to tell two answers apart, and no load on long ones."""

HANDLER_ERROR = "handler_error"
"""The code of an exception out of the function; its detail is that exception's text."""

SHORT_BODY = "short_body"
"""The code of a response that ended before its Content-Length was reached."""

_STATUS = {Verdict.ERROR: 500, Verdict.TRUNCATED: 502, Verdict.TIMEOUT: 504, Verdict.OVERLOAD: 503}
_REASON_WHO = {Reason.TIMEOUT_IDLE: "c", Reason.SHUTDOWN: "K", Reason.PROTOCOL: "I", Reason.KILLED: "I"}


class Exchange(BaseSink):
    """See the module. `outcome` is there when the client's side is over; the worker may still be at work then."""

    __slots__ = (
        "_blockage",
        "_bodyless",
        "_client",
        "_deadlines",
        "_discards",
        "_length",
        "_linger",
        "_lingers",
        "_lost_timer",
        "_settled",
        "_unsent",
        "_verdict",
        "begun",
        "checksum",
        "ended",
        "linger_seconds",
        "lost",
        "on_disconnect",
        "on_time_out",
        "outcome",
        "owner",
        "phase",
        "redact",
        "relayed",
        "request",
        "source",
        "status",
        "tells_errors",
        "timeline",
        "upload",
    )

    def __init__(self, request: Request, client: Stream, timeline: Timeline) -> None:
        self.request = request
        self.timeline = timeline
        self.upload = Upload(client, request.body_length)
        self.outcome: Outcome | None = None
        self._settled: asyncio.Future[Outcome] | None = None
        self.owner: Owner | None = None
        self.ended = False
        """The source has ended, or there never will be one."""
        self.phase = "R"
        self.status = 0
        self.relayed = 0
        self.checksum = 0
        """CRC-32 of the first `CHECKED_BYTES` of the body that went to the client."""
        self.source: Source | None = None
        self.on_disconnect = "cancel"
        self.linger_seconds = 30.0
        self.redact: Callable[[str], str] = str
        """Takes the function's secrets out of a text of its own: client, edge and record get what is left."""
        self.tells_errors = True
        """Whether a client gets the text of the function's exceptions; the record always does."""
        self._client = client
        self._deadlines: Deadlines | None = None
        self.begun = 0.0
        """Unix time from which `total` counts."""
        self._length: int | None = None
        self._bodyless = False
        self._discards = False
        self._verdict: Outcome | None = None
        self._blockage = Blockage()
        self._unsent = 0
        self._lingers = False
        self._lost_timer: asyncio.TimerHandle | None = None
        self.lost = False
        """Whether the way to the worker broke before the response's end."""
        self._linger: asyncio.TimerHandle | None = None
        self.on_time_out: Reason | None = None
        client.tap = tap = timeline.tap("link", client.id)
        tap(False, FrameType.OPEN, client.opened_bytes)

    @property
    def received(self) -> int:
        """Bytes of the request's body that have come."""
        return self._client.received

    def stalls(self) -> tuple[float, float]:
        """Seconds in which the begun response stood still so far: for the client to read, for the worker to write."""
        moments = self.timeline.moments
        begun = moments.get("head")
        if begun is None:
            return 0.0, 0.0
        end = moments.get("end")
        if end is None:
            end = self.timeline.clock()
        client = self._blockage.seconds(end)
        return client, max(0.0, end - begun - client)

    @property
    def goes_on(self) -> bool:
        """Whether the worker is at work for a client that has left, because the function wants it so."""
        return self.outcome is not None and self.source is not None and not self.ended and self._lingers

    @property
    def settled(self) -> asyncio.Future[Outcome]:
        """The outcome, for those who wait for it in a task."""
        if self._settled is None:
            self._settled = asyncio.get_running_loop().create_future()
            if self.outcome is not None:
                self._settled.set_result(self.outcome)
        return self._settled

    # --- time ---------------------------------------------------------------------------------------------------------

    def begin(self, timeouts: Timeouts, newcomers: Newcomers) -> None:
        """The function is known: its time-outs run."""
        self.begun = time.time()

        self._deadlines = Deadlines(timeouts, self, newcomers)
        self._deadlines.begin()

    def starting(self) -> None:
        """A worker is being started, or has been given the payload."""
        if self._deadlines is not None:
            self._deadlines.starting()

    def running(self) -> None:
        """The worker has it: the head is awaited."""
        self.phase = "H"
        if self._deadlines is not None:
            self._deadlines.running()

    @property
    def held(self) -> bool:
        """Whether it is the client that holds the stream back."""
        return self._blockage.lasts

    def time_out(self, which: str, seconds: float) -> None:
        """A time-out has fired."""
        failure = timed_out(which, seconds)
        self.on_time_out = failure.reason
        self.fail(failure)

    def let_go(self) -> None:
        """All is recorded. What still comes from the worker is nobody's; nothing here refers in a ring any more."""
        self.source = None
        self.owner = None
        self._deadlines = None

    # --- the response, from the source --------------------------------------------------------------------------------

    def attach(self, source: Source) -> None:
        """The worker's side is here."""
        self.source = source

    def info(self, info: Info) -> None:
        """An interim response. One that could harm the framing is dropped."""
        if self._discards or info.status == 101:
            return
        try:
            header_rules.check_fields(info.fields)
        except StreamViolation:
            return
        self._client.info(Info(info.status, header_rules.end_to_end(info.fields)))

    def answer(self, raw: Head, body: bytes) -> None:
        """The whole response at once, which ended well: as `head`, `data` and `end`, and in one piece to the client."""
        head = self._judged(raw)
        if head is not None:
            whole = self._length is None or self._length == len(body)
            if whole and header_rules.has_body(self.request.method, head.status):
                self._answer(head, body)
                return
            self._begin(head)
            if body:
                self.data(body)
        self.end(End(Verdict.OK, len(body)))

    def _answer(self, head: Head, body: bytes) -> None:
        size = self._unsent = len(body)
        # First of all: if this raises, it is as if nothing had come.
        self._client.answer(head, body)
        self.relayed = size
        self.status = head.status
        self.phase = "D"
        if body:
            now = self.timeline.clock()
            self.timeline.gaps.chunk(now)
            self.timeline.mark("first_byte", now)
            self.checksum = crc32(body[:CHECKED_BYTES])
        self._source_over()
        # `on_closed` follows, when it has left.
        self._verdict = Outcome(Verdict.OK, "-", "-", head.status)
        if self._deadlines is not None:
            self._deadlines.stop()

    def head(self, raw: Head) -> None:
        """The response's head, as it came."""
        head = self._judged(raw)
        if head is not None:
            self._begin(head)

    def _judged(self, raw: Head) -> Head | None:
        """A head as it may go to the client: hostile until it was checked. None when none goes there."""
        self.timeline.mark("head")
        if self._discards:
            return None
        try:
            head, self._length = header_rules.check_response_head(raw)
        except StreamViolation as violation:
            self.fail(Failure(Verdict.PROTOCOL, "P", 502, "bad_head", str(violation), Reason.PROTOCOL))
            return None
        return head

    def _begin(self, head: Head) -> None:
        self.status = head.status
        self.phase = "D"
        if self._deadlines is not None:
            self._deadlines.streaming()
        self._client.head(head)
        if not header_rules.has_body(self.request.method, head.status):
            # The client is served; what the worker may still send is nobody's.
            self._bodyless = self._discards = True
            self._finish(Outcome(Verdict.OK, "-", "-", self.status), End(Verdict.OK))

    def data(self, data: bytes) -> None:
        """Bytes of the body."""
        size = len(data)
        now = self.timeline.clock()
        self.timeline.gaps.chunk(now)
        if self._discards:
            self._discard(size)
            return
        if not self.relayed:
            self.timeline.mark("first_byte", now)
        if self._deadlines is not None:
            self._deadlines.touch()
        if self._length is not None and self.relayed + size > self._length:
            self._overflow(data[: self._length - self.relayed], size)
            return
        if self.relayed < CHECKED_BYTES:
            self.checksum = crc32(data[: CHECKED_BYTES - self.relayed], self.checksum)
        self.relayed += size
        self._unsent += size
        self._client.write(data)
        if self._client.queued > self._client.credit:
            self._blockage.begin(now)

    def _discard(self, size: int) -> None:
        source = self.source
        if source is None:
            return
        source.consumed(size)
        if self._bodyless:
            self._bodyless = False
            source.cancel(Reason.NO_BODY, "this answer has no body")

    def _overflow(self, fitting: bytes, size: int) -> None:
        """More than Content-Length announced: the client gets what was announced, and no connection to reuse."""
        if self.relayed < CHECKED_BYTES:
            self.checksum = crc32(fitting[: CHECKED_BYTES - self.relayed], self.checksum)
        self.relayed += len(fitting)
        self._unsent += len(fitting)
        self._client.write(fitting)
        detail = f"more bytes than the Content-Length of {self._length}"
        source = self.source
        if source is not None:
            source.consumed(size - len(fitting))
        self.fail(Failure(Verdict.PROTOCOL, "P", 0, "long_body", detail, Reason.OVERFLOW))

    def trailers(self, fields: Fields) -> None:
        """Trailer fields; those that could harm the framing are dropped."""
        if self._discards:
            return
        try:
            header_rules.check_fields(fields)
        except StreamViolation:
            return
        self._client.trailers(header_rules.end_to_end(fields))

    def end(self, end: End, who: str = "S") -> None:
        """The source has ended, well or not."""
        self._source_over()
        if self._discards or self._verdict is not None:
            return
        short = self._length is not None and self.relayed < self._length
        if end.verdict is Verdict.OK and short:
            detail = f"{self.relayed} bytes of the Content-Length of {self._length}"
            end = End(Verdict.TRUNCATED, code=SHORT_BODY, detail=detail)
        if end.verdict is Verdict.OK:
            self._finish(Outcome(Verdict.OK, "-", "-", self.status), end)
        else:
            status = self.status or end.status or _STATUS.get(end.verdict, 502)
            if who == "S" and (end.verdict is Verdict.ERROR or end.code == SHORT_BODY):
                # Its way to the platform held, and what came over it was wrong.
                who = "F"
            # The function's own words: a traceback may quote what it was given.
            detail = self.redact(redact(end.detail))
            outcome = Outcome(end.verdict, who, self.phase, status, end.code or "function_failed", detail)
            self._finish(outcome, End(end.verdict, 0, status, outcome.error, detail))

    def _source_over(self) -> None:
        if not self.ended:
            self.ended = True
            if self.owner is not None:
                self.owner.source_over()

    def source_lost(self, why: str) -> None:
        """The way to the worker broke. If the worker died, how it died says more: that is waited for a moment."""
        self.lost = True
        self._lost_timer = asyncio.get_running_loop().call_later(LOST_SECONDS, self.give_up, "worker_lost", why)
        self._source_over()

    def give_up(self, error: str, detail: str) -> None:
        """The worker will bring no end."""
        if self._lost_timer is not None:
            self._lost_timer.cancel()
            self._lost_timer = None
        self.end(End(Verdict.TRUNCATED, 0, 502, error, detail))

    # --- ending -------------------------------------------------------------------------------------------------------

    def fail(self, failure: Failure) -> None:
        """The platform ends it: the client is told, or cut, at once; the worker is told to stop."""
        if self._verdict is None and self.outcome is None:
            status = self.status or failure.status
            detail = self.redact(redact(failure.detail))
            outcome = Outcome(failure.verdict, failure.who, self.phase, status, failure.error, detail)
            end = End(failure.verdict, 0, status, failure.error, detail, failure.retry_after)
            self._finish(outcome, end)
        self._discards = True
        if self.source is None:
            self._source_over()
        else:
            self.source.cancel(failure.reason, failure.detail)

    def _finish(self, outcome: Outcome, end: End) -> None:
        """The last word to the client, behind what it is still owed."""
        self._verdict = outcome
        if self._deadlines is not None:
            self._deadlines.stop()
        detail = end.detail if self.tells_errors or end.code != HANDLER_ERROR else ""
        # `on_closed` follows, when it has left.
        self._client.end(end.verdict, status=end.status, code=end.code, detail=detail, retry_after=end.retry_after)

    def _settle_soon(self, outcome: Outcome) -> None:
        """The outcome is certain; the owner, who may let go of everything, is told when our caller has finished."""
        if self._settle(outcome):
            asyncio.get_running_loop().call_soon(self._tell_client_over)

    def _tell_client_over(self) -> None:
        if self.owner is not None:
            self.owner.client_over()

    def _settle(self, outcome: Outcome) -> bool:
        """Returns whether this is the outcome, and not a later word."""
        if self.outcome is not None:
            return False
        self.timeline.mark_last_byte()
        self.timeline.mark("end")
        if self._deadlines is not None:
            self._deadlines.stop()
        self._unblock()
        self.outcome = outcome
        if self._settled is not None:
            self._settled.set_result(outcome)
        return True

    # --- the client's stream ------------------------------------------------------------------------------------------

    def on_data(self, data: bytes) -> None:
        """A piece of the request's body."""
        self.upload.data(data)

    def on_trailers(self, fields: Fields) -> None:
        """Trailers of the request's body."""
        self.upload.trailers(fields)

    def on_end(self, end: End) -> None:
        """The request's body is over."""
        self.upload.end(end)

    def on_sent(self, count: int) -> None:
        """Bytes have left for the client: as many may come."""
        if self._blockage.lasts and self._client.queued <= self._client.credit:
            self._unblock()
        self._unsent -= count
        if self.source is not None:
            self.source.consumed(count)

    def _unblock(self) -> None:
        if self._blockage.lasts:
            self._blockage.end(self.timeline.clock())
            if self._deadlines is not None:
                self._deadlines.touch()

    def on_closed(self) -> None:
        """Everything, the last word included, has left for the client."""
        self._unsent = 0
        if self._verdict is not None and self._settle(self._verdict):
            self._tell_client_over()

    def on_cancel(self, reason: Reason, detail: str) -> None:
        """The client left, or the edge cut it off."""
        self._gone(reason, detail)
        self._client.end(Verdict.CANCELLED)

    def on_lost(self, why: str) -> None:
        """The link died, and with it the way to the client."""
        self._gone(Reason.CLIENT_GONE, why)

    def _gone(self, reason: Reason, detail: str) -> None:
        self.upload.abandon()
        who = _REASON_WHO.get(reason, "C")
        phase = "E" if self._verdict is not None else self.phase
        first = self.outcome is None
        if self._client_has_all():
            # It left after the last byte that it was promised: that is a good end, and the worker may finish.
            self._settle_soon(Outcome(Verdict.OK, "-", "-", self.status))
            self._discards = True
            return
        self._settle_soon(
            Outcome(Verdict.CANCELLED, who, phase, self.status, "client_gone", detail or "the client left")
        )
        self._discards = True
        if self.source is None:
            self._source_over()
        elif first:
            self._disconnect(reason, detail)

    def _client_has_all(self) -> bool:
        return self._length is not None and self.relayed == self._length and not self._unsent

    def _disconnect(self, reason: Reason, detail: str) -> None:
        """What the function's `on_disconnect` says about a client that left."""
        source = self.source
        if source is None or self.ended:
            return
        # What waits for the client will not leave any more; a worker that goes on must not wait for it.
        source.consumed(self._unsent)
        self._unsent = 0
        self._lingers = self.on_disconnect != "cancel"
        if not self._lingers:
            source.cancel(reason, detail)
        elif self.on_disconnect == "linger":
            loop = asyncio.get_running_loop()
            self._linger = loop.call_later(self.linger_seconds, source.cancel, reason, detail)
