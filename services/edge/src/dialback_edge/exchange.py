"""One request and its answer: between a client's connection and a stream of the upstream.

It never ends an answer cleanly that did not end cleanly: whatever is not a complete, counted END becomes an error page
before the head, and a truncation that the client can see after it.
"""

import logging
import time
from typing import TYPE_CHECKING

from dialback_wire.errors import StreamViolation
from dialback_wire.messages import End, Fields, Head, Info, Reason, Request, Verdict
from dialback_wire.sink import BaseSink
from dialback_wire.stream import Stream

from .access_log import AccessRecord
from .client_socket import Hold
from .context import EdgeContext, fresh_id
from .errors import Rejected, UpstreamUnavailable
from .forwarded import relayed_fields
from .hooks import BodyFilter
from .http_parser import ALLOW
from .own_answers import HEALTH, own_answer
from .request_head import RequestHead
from .response_head import ResponseHead
from .response_writer import Framing, ResponseWriter
from .tracing import RequestSpan
from .verdicts import ended_by, error_of, log_code

if TYPE_CHECKING:
    from .connection import ClientConnection

_log = logging.getLogger("dialback.edge")

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LOGGED_PATH = 2048
_REJECTED = {404: "LR", 408: "cR"}


class Exchange(BaseSink):
    """The sink of one stream, and the front's side of one request."""

    __slots__ = (
        "_age_of_bodyless",
        "_bytes_in",
        "_bytes_out",
        "_connection",
        "_edge",
        "_filter",
        "_head_after",
        "_head_status",
        "_id",
        "_owed",
        "_request",
        "_span",
        "_started",
        "_stream",
        "_trailers",
        "_upstream_said",
        "_writer",
        "awaits_continue",
        "over",
    )

    def __init__(
        self, connection: "ClientConnection", edge: EdgeContext, request: RequestHead | None, started: float
    ) -> None:
        self.over = False
        self.awaits_continue = request is not None and request.expects_continue and request.body_length != 0
        """The client waits for 100 Continue, which has not been sent."""
        self._connection = connection
        self._edge = edge
        self._request = request
        self._started = started
        self._id = fresh_id()
        self._span: RequestSpan | None = None
        self._stream: Stream | None = None
        self._writer = ResponseWriter(request)
        self._filter: BodyFilter | None = None
        self._head_status = 0
        self._head_after: float | None = None
        self._bytes_in = 0
        self._bytes_out = 0
        self._owed = 0
        self._trailers: Fields = ()
        self._age_of_bodyless = 0
        self._upstream_said = False
        """Whether the end came from the upstream, and not from here."""

    @property
    def head_sent(self) -> bool:
        """Whether the client has a head, so that an error page would come too late."""
        return self._head_status != 0

    # --- starting -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Answer here, or ask the upstream."""
        request = self._request
        assert request is not None
        try:
            own = own_answer(request, self._edge)
            if own is not None:
                self._answer(*own)
            else:
                self._ask(request)
        except Rejected as rejected:
            self.refuse(rejected)
        except UpstreamUnavailable as error:
            self._fail(503, "no_upstream", str(error), log="IR", retry_after=error.retry_after)
        except Exception as error:
            # A bug, on this side of the link; it must not take the connection's other requests with it.
            _log.exception("request %s could not be opened", self._id)
            self._fail(502, "internal_error", "The request could not be passed on.", log="IR", detail=repr(error))

    def refuse(self, rejected: Rejected) -> None:
        """Answer with an error of our own making; the upstream has not seen the request."""
        self._fail(rejected.status, rejected.code, str(rejected), log=_REJECTED.get(rejected.status, "PR"))

    def _ask(self, request: RequestHead) -> None:
        connection = self._connection
        authority = request.authority or connection.socket.local_authority
        fields, scheme = relayed_fields(request, connection.socket.peer, authority)
        if self._edge.tracer is not None:
            self._span = self._edge.tracer(request, connection.now() - self._started, fields)
            fields = self._span.fields
        relayed = Request(
            self._id,
            request.method,
            request.target,
            authority,
            fields,
            scheme,
            b"1.1" if request.minor else b"1.0",
            connection.socket.peer.address,
            request.body_length,
            int((connection.now() - self._started) * 1_000_000),
        )
        self._stream = self._edge.upstream.open(relayed, self)

    # --- the request's body -------------------------------------------------------------------------------------------

    def upload(self, data: bytes) -> None:
        """A piece of the request's body."""
        self.awaits_continue = False
        self._bytes_in += len(data)
        stream = self._stream
        if self.over or stream is None:
            return
        limits = self._edge.settings.limits
        if limits.body is not None and self._bytes_in > limits.body:
            self._cancel(Reason.OVERFLOW, "request body too large")
            message = f"The request's body is larger than {limits.body} bytes."
            self._fail(413, "body_too_large", message, log="PD" if self.head_sent else "PR")
            return
        stream.write(data)
        if stream.queued > limits.upload_queue:
            self._connection.socket.hold(Hold.UPLOAD)

    def uploaded(self) -> None:
        """The request's body is complete."""
        self.awaits_continue = False
        if not self.over and self._stream is not None:
            self._stream.end(Verdict.OK)

    def upload_failed(self, rejected: Rejected, reason: Reason = Reason.CLIENT_GONE) -> None:
        """The body will never be complete: broken framing, a time-out, or an end before its end."""
        if not self.over:
            self._connection.make_last()
            self._cancel(reason, rejected.code)
            who = "c" if rejected.status == 408 else "C"
            log = who + ("D" if self.head_sent else "R")
            self._fail(rejected.status, rejected.code, str(rejected), log=log)

    def on_credit(self) -> None:
        """The upstream wants the body."""
        if self.awaits_continue and not self.over and not self.head_sent:
            self.awaits_continue = False
            self._connection.socket.write(_CONTINUE)

    def on_sent(self, count: int) -> None:
        """Part of the body has left for the upstream."""
        stream = self._stream
        if stream is not None and stream.queued * 2 <= self._edge.settings.limits.upload_queue:
            self._connection.socket.release(Hold.UPLOAD)

    # --- the answer ---------------------------------------------------------------------------------------------------

    def on_info(self, info: Info) -> None:
        """Only 103 is for the client: 100 is this hop's own business, 101 is not served."""
        if self.over or self.head_sent or info.status != 103 or not self._edge.settings.early_hints:
            return
        try:
            self._connection.socket.write(self._writer.interim(info))
        except StreamViolation:
            # A hint that cannot be relayed is left out; the answer itself is judged when it comes.
            return

    def on_head(self, head: Head) -> None:
        """The function answers."""
        if self.over:
            return
        try:
            head = self._filtered(head)
            self._connection.socket.write(self._begin(head, close=self._connection.must_close(final=False)))
        except StreamViolation as violation:
            self._refuse_head(violation)

    def on_answer(self, head: Head, body: bytes) -> None:
        """The function's whole answer at once, which ended well: its last word."""
        if self.over:
            return
        self._upstream_said = True
        try:
            self._answer(self._filtered(head), body)
        except StreamViolation as violation:
            self._refuse_head(violation)

    def on_data(self, data: bytes) -> None:
        """A piece of the answer. Credit goes back when the client's side has room."""
        if self.over:
            return
        writer = self._writer
        connection = self._connection
        shown = data if self._filter is None else self._filter.data(data)
        out = writer.data(shown)
        if out:
            if self._span is not None and not self._bytes_out:
                self._span.first_byte()
            self._bytes_out += len(shown)
            connection.socket.write(out)
        stream = self._stream
        assert stream is not None
        if connection.write_paused:
            self._owed += len(data)
        else:
            stream.consumed(len(data))
        if writer.overrun:
            self._cancel(Reason.OVERFLOW, "more bytes than Content-Length")
            self._finish(keep_alive=False, log="PD")
        elif writer.framing is Framing.NONE and data:
            self._finish_bodyless()

    def on_trailers(self, fields: Fields) -> None:
        """Kept for the end; the writer decides which may go out."""
        self._trailers = fields

    def on_end(self, end: End) -> None:
        """The upstream's last word."""
        if self.over:
            return
        self._upstream_said = True
        if not self.head_sent:
            if end.verdict is Verdict.OK:
                end = End(Verdict.PROTOCOL, code="no_head", status=502)
            status, code, message = error_of(end)
            log = log_code(end, head_sent=False)
            self._fail(status, code, message, log=log, retry_after=end.retry_after, detail=end.detail)
        elif end.verdict is not Verdict.OK:
            self._truncate(log_code(end, head_sent=True), end.detail or end.code)
        elif (tail := self._tail()) is None:
            self._truncate_short()
        else:
            self._connection.socket.write(tail)
            self._finish(keep_alive=self._writer.keep_alive and not self._connection.must_close(final=True), log="--")

    def on_refuse(self, code: int, reason: str) -> None:
        """Not let in: nothing has run."""
        if not self.over:
            self._upstream_said = True
            if self._edge.upstream.ready:
                word, message = "overloaded", "The platform cannot take this request now."
            else:
                # Its farewell came just before.
                word, message = "stopping", "The platform is stopping."
            self._fail(503, word, message, log="RQ", retry_after=1, detail=reason)

    def on_lost(self, why: str) -> None:
        """The link died. The function may have run, so nothing is tried again."""
        if self.over:
            return
        self._upstream_said = True
        if self.head_sent:
            self._truncate("ID", why)
        else:
            message = "The connection to the platform was lost before the function answered."
            self._fail(502, "upstream_lost", message, log="IH", detail=why)

    # --- what the connection tells ------------------------------------------------------------------------------------

    def drained(self) -> None:
        """The client's side has room again."""
        owed, self._owed = self._owed, 0
        if owed and not self.over and self._stream is not None:
            self._stream.consumed(owed)

    def abandon(self, who: str, why: str, reason: Reason = Reason.CLIENT_GONE, phase: str = "") -> None:
        """There is nobody to answer any more. `who` ended it, as in the log's codes."""
        if not self.over:
            phase = phase or ("D" if self.head_sent else "R" if self._connection.upload_pending else "H")
            self._cancel(reason, why)
            # A client may know by Content-Length that it has everything before the function says so.
            served = self.head_sent and self._writer.framing is Framing.LENGTH and not self._writer.remaining
            self._close("--" if served and who == "C" and not self._connection.write_paused else who + phase, why)

    def cut(self) -> None:
        """The grace of a drain is over."""
        if not self.over:
            self._cancel(Reason.SHUTDOWN, "the edge shuts down")
            log = "KD" if self.head_sent else "KH"
            self._fail(503, "shutting_down", "The platform is shutting down.", log=log, retry_after=1)

    def tick(self) -> None:
        """Once a tick. The answer to HEAD, a 204 or a 304 is whole with its head: its function is not waited for."""
        if self.head_sent and self._writer.framing is Framing.NONE and not self.over:
            self._age_of_bodyless += 1
            if self._age_of_bodyless > 1:
                self._finish_bodyless()

    # --- endings ------------------------------------------------------------------------------------------------------

    def _begin(self, head: Head, *, close: bool) -> bytes:
        """The head for the client. Raises StreamViolation."""
        connection = self._connection
        fit = connection.last_head
        if fit is None or fit.came != head:
            fit = connection.last_head = ResponseHead(head)
        out = self._writer.begin(fit, self._id, close)
        self._head_status = head.status
        self._head_after = connection.now() - self._started
        return out

    def _refuse_head(self, violation: StreamViolation) -> None:
        self._cancel(Reason.PROTOCOL, str(violation))
        self._fail(502, "invalid_head", "The function's answer has an invalid head.", log="PH", detail=str(violation))

    def _filtered(self, head: Head) -> Head:
        """The head as the hook wants it, if it wants anything."""
        assert self._request is not None
        found = self._edge.hooks.filter(self._request, head)
        if found is None:
            return head
        head, self._filter = found
        return head

    def _tail(self) -> bytes | None:
        """What ends a complete answer; None when bytes of Content-Length are missing."""
        last = b"" if self._filter is None else self._filter.end()
        out = self._writer.data(last) if last else b""
        if out:
            self._bytes_out += len(last)
        tail = self._writer.finish(self._trailers)
        return None if tail is None else out + tail

    def _answer(self, head: Head, body: bytes, log: str = "--", detail: str = "") -> None:
        """A whole answer, as one write. Raises StreamViolation, and nothing was written then."""
        connection, writer = self._connection, self._writer
        if self._filter is not None:
            # Before anything says that the client has a head: this may raise.
            body = self._filter.data(body) + self._filter.end()
        start = self._begin(head, close=connection.must_close(final=True))
        data = writer.data(body)
        if data:
            self._bytes_out = len(body)
            if self._span is not None and log == "--":
                self._span.first_byte()
        tail = writer.finish(())
        connection.socket.send(start + data + (tail or b""))
        if tail is None:
            self._truncate_short()
        else:
            self._finish(keep_alive=writer.keep_alive, log="PD" if writer.overrun else log, detail=detail)

    def _fail(self, status: int, code: str, message: str, *, log: str, retry_after: int = 0, detail: str = "") -> None:
        """An error page if there is still time for one, else a truncation."""
        detail = detail or code
        if self.head_sent:
            self._truncate(log, detail)
            return
        accept = b"" if self._request is None else self._request.accept
        extra = ((b"allow", ALLOW),) if status == 405 else ()
        self._writer = ResponseWriter(self._request)
        self._filter = None
        page = self._edge.hooks.error_page
        head, body = page(status, code, message, self._id, accept=accept, retry_after=retry_after, extra=extra)
        self._answer(head, body, log=log, detail=detail)

    def _finish_bodyless(self) -> None:
        self._cancel(Reason.NO_BODY, "an answer without a body")
        self._finish(keep_alive=self._writer.keep_alive and not self._connection.must_close(final=True), log="--")

    def _finish(self, *, keep_alive: bool, log: str, detail: str = "") -> None:
        self._close(log, detail)
        self._connection.answered(keep_alive)

    def _truncate(self, log: str, detail: str) -> None:
        self._close(log, detail)
        self._connection.truncated(reset=self._writer.framing is Framing.CLOSE)

    def _truncate_short(self) -> None:
        self._truncate("FD", f"{self._writer.remaining} bytes of Content-Length are missing")

    def _cancel(self, reason: Reason, detail: str) -> None:
        if self._stream is not None:
            self._stream.cancel(reason, detail)

    def _close(self, log: str, detail: str) -> None:
        self.over = True
        self._stream = None
        connection = self._connection
        request = self._request
        path = b"-" if request is None else request.path
        if path == HEALTH and self._head_status == 200:
            return  # a probe every few seconds would drown what the log is read for
        duration = connection.now() - self._started
        record = AccessRecord(
            time.time() - duration,
            self._id,
            connection.socket.peer.address.decode(),
            "-" if request is None else request.method.decode(),
            "-" if request is None else request.authority.decode("latin-1"),
            path[:_LOGGED_PATH].decode("latin-1"),
            self._head_status,
            log,
            self._bytes_in,
            self._bytes_out,
            self._head_after,
            duration,
            detail if log != "--" else "",
            ended_by(log, upstream=self._upstream_said) if log != "--" else "",
        )
        connection.log(record)
        if self._span is not None:
            self._span.end(record)
