"""One invocation, from its payload to its verdict.

With a callback: open the stream first, call the handler only when its token was accepted, send END with a verdict,
then tell the runtime API. Without one: call the handler, hand its whole answer to the runtime API. Either way each
invocation ends in exactly one answer to the runtime API, and the worker goes on.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Protocol, TypeVar

from dialback_wire import payload
from dialback_wire.messages import Reason, Verdict

from . import context, log_capture
from .background import Background
from .buffered_exchange import BufferedExchange
from .event import EventError, Stamp, decode_event, take_stamp
from .exchange import AnswerError, ClientGone, Exchange
from .failures import cause, describe, follows_from_leaving, let_go
from .handlers.base import Handler, HandlerFailed
from .receivers import CallbackRefused, CallbackUnreachable
from .runs import Runs
from .runtime_client import AnswerTooLarge, Delivery, Failure
from .stream_exchange import StreamExchange
from .user_frames import traceback_lines

TOO_LARGE = Failure(
    "Function.ResponseSizeTooLarge", "the response is larger than 6 MB; it can be streamed in callback mode"
)

_ANSWERS = {
    verdict: f'{{"{payload.KEY}": {{"verdict": "{verdict.name.lower()}", "count": %d}}}}'.encode()
    for verdict in Verdict
}
"""What the runtime API is told of a response that was streamed; `%d` is for the bytes of its body."""


S = TypeVar("S")


class Runtime(Protocol):
    """The part of the runtime API that an invocation needs; see `RuntimeClient`."""

    @property
    def in_order(self) -> bool:
        """Whether its answer cannot overtake the END of the invocation's stream."""

    async def respond(self, request_id: str, body: bytes) -> None: ...

    async def fail(self, request_id: str, failure: Failure) -> None: ...


class Sockets(Protocol[S]):
    """Where an exchange's stream comes from; see `Receivers`."""

    async def open(self, stamp: Stamp, exchange: StreamExchange) -> S: ...

    def release(self, socket: S) -> None: ...


class Invocations:
    """Serves deliveries of the runtime API, any number at once. `cancel_grace` is in seconds."""

    def __init__(
        self,
        runtime: Runtime,
        receivers: Sockets[Any],
        handler: Handler,
        log: log_capture.LogSink,
        cancel_grace: float,
    ) -> None:
        self._runtime = runtime
        self._receivers = receivers
        self._handler = handler
        self._log = log
        self._runs = Runs(cancel_grace)
        self._background: set[Background] = set()
        self._shutting_down = False
        self._given_up = False

    async def serve(self, delivery: Delivery, runtime: Runtime | None = None) -> None:
        """Serve one invocation, in a task of its own. Raises PlatformGone and nothing else.

        `runtime` gets the answer, if it is another than the one that the polls go to.
        """
        runtime = runtime or self._runtime
        try:
            event = decode_event(delivery.event)
            stamp = take_stamp(event)
            if stamp is None:
                collecting = BufferedExchange(delivery, event)
                invocation = self._invocation(delivery.id, collecting)
                serving = self._buffered(invocation, collecting, runtime)
            else:
                streaming = StreamExchange(delivery, event, stamp)
                invocation = self._invocation(stamp.invocation, streaming)
                serving = self._callback(invocation, streaming, stamp, runtime)
        except EventError as error:
            await runtime.fail(delivery.id, Failure("Dialback.BadPayload", str(error)))
            return
        # A stream may go on for days: what it does not need is let go.
        del event, stamp
        delivery.event = b""
        try:
            await serving
        finally:
            self._log.close(invocation)

    def _invocation(self, id: str, exchange: Exchange) -> context.CurrentInvocation:
        return context.CurrentInvocation(id, exchange, Background(id, self._log))

    def shut_down(self) -> None:
        """Tell every handler that nobody wants its response any more."""
        self._shutting_down = True
        self._runs.stop(Reason.SHUTDOWN)
        for background in self._background:
            background.cancel()

    def give_up(self) -> None:
        """The tasks of `serve` are about to be cancelled: a handler that is cancelled with them is not answered for."""
        self._given_up = True

    # --- callback mode ------------------------------------------------------------------------------------------------

    async def _callback(
        self, invocation: context.CurrentInvocation, exchange: StreamExchange, stamp: Stamp, runtime: Runtime
    ) -> None:
        request_id = exchange.delivery.id
        try:
            socket = await self._receivers.open(stamp, exchange)
        except CallbackRefused as error:
            await runtime.fail(request_id, Failure(payload.REFUSED, str(error)))
            return
        except CallbackUnreachable as error:
            await runtime.fail(request_id, Failure(payload.UNREACHABLE, str(error)))
            return
        del stamp  # from here on the token is nowhere that user code's tracebacks could show it
        try:
            raised: BaseException | None
            if exchange.gone is None:
                raised = await self._run(invocation, exchange)
            else:
                raised = ClientGone("the client has gone before the handler was called")
            verdict = self._end_stream(exchange, raised)
            if not (runtime.in_order and exchange.over):
                await exchange.closed()
        finally:
            exchange.when_closed(partial(self._receivers.release, socket))
        if invocation.background.is_open():
            await self._finish_background(invocation)
        await runtime.respond(request_id, _ANSWERS[verdict] % exchange.count)

    def _end_stream(self, exchange: StreamExchange, error: BaseException | None) -> Verdict:
        """Send END, unless the handler's complete response has sent it. `error` is what the handler raised."""
        gone, status, code, detail = exchange.gone, 0, "", ""
        if gone is not None and gone is not Reason.NO_BODY:
            # A response that was complete before its client left may still not have left this process.
            verdict = exchange.gone_verdict
            status, code = 504 if verdict is Verdict.TIMEOUT else 0, _word(gone)
        elif exchange.complete:
            return Verdict.OK
        elif gone is not None and isinstance(error, (ClientGone, asyncio.CancelledError)):
            verdict = Verdict.OK
        elif isinstance(error, AnswerError):
            verdict, status, code, detail = Verdict.ERROR, error.status, error.code, error.detail
        elif error is not None and exchange.cut is not None:
            verdict, status, code, detail = Verdict.TRUNCATED, 400, "request_truncated", exchange.cut
        else:
            shown = error or HandlerFailed("the handler gave no response")
            verdict, status, code, detail = Verdict.ERROR, 500, "handler_error", describe(shown)
        exchange.end(verdict, status=status, code=code, detail=detail)
        return verdict

    # --- buffered mode ------------------------------------------------------------------------------------------------

    async def _buffered(
        self, invocation: context.CurrentInvocation, exchange: BufferedExchange, runtime: Runtime
    ) -> None:
        request_id = exchange.delivery.id
        raised = await self._run(invocation, exchange)
        if invocation.background.is_open():
            await self._finish_background(invocation)
        if exchange.overflowed:
            failure = TOO_LARGE
        elif exchange.gone == "deadline":
            failure = Failure("Sandbox.Timedout", "the invocation's deadline has passed")
        elif isinstance(raised, AnswerError):
            failure = Failure(f"Dialback.{raised.code}", raised.detail)
        elif raised is not None and not exchange.complete:
            failure = Failure.of(cause(raised))
        elif exchange.value is None:
            failure = Failure("Dialback.NoResponse", "the handler gave no response")
        else:
            try:
                await runtime.respond(request_id, exchange.value)
            except AnswerTooLarge:
                await runtime.fail(request_id, TOO_LARGE)
            return
        await runtime.fail(request_id, failure)

    # --- the handler --------------------------------------------------------------------------------------------------

    async def _run(self, invocation: context.CurrentInvocation, exchange: Exchange) -> BaseException | None:
        """Run the handler to its end; returns what it raised.

        When nobody wants the rest and it does not notice, it is cancelled. What it does after a complete response is
        its own, until the deadline.
        """
        log_capture.current.set(invocation)
        run = self._runs.begin(exchange)
        try:
            await self._handler.run(exchange)
        except asyncio.CancelledError as error:
            if exchange.gone is None:
                # Not ours: the user's code cancelled itself.
                return HandlerFailed("the handler was cancelled by its own code")
            if self._given_up:
                invocation.background.cancel()
                raise
            return error
        except ClientGone as error:
            let_go(error)
            return error
        except BaseException as error:  # SystemExit too: one invocation must not take the others with it
            return self._raised(invocation, exchange, error)
        finally:
            self._runs.end(run)
        return None

    def _raised(self, invocation: context.CurrentInvocation, exchange: Exchange, error: BaseException) -> BaseException:
        """What is to be told of what the handler raised; logged, if it is the handler's fault."""
        refusal = _refusal(exchange, error)
        if refusal is not None:
            if refusal is exchange.refused:
                self._log.emit(invocation.id, "log", "ERROR", [refusal.detail])
        elif exchange.cut is None and not follows_from_leaving(error):
            self._log.emit(invocation.id, "log", "ERROR", traceback_lines(error))
        let_go(error)
        return refusal or error

    async def _finish_background(self, invocation: context.CurrentInvocation) -> None:
        background = invocation.background
        if self._shutting_down:
            background.cancel()
        self._background.add(background)
        try:
            await background.finish(invocation.remaining())
        finally:
            self._background.discard(background)


def _refusal(exchange: Exchange, error: BaseException) -> AnswerError | None:
    """The answer that the bridge made of it, also when a framework put its own exception in that one's place."""
    if isinstance(error, AnswerError):
        return error
    return None if exchange.started else exchange.refused


def _word(why: Reason | str) -> str:
    return why.name.lower() if isinstance(why, Reason) else why
