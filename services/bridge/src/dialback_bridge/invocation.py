"""One invocation, from its payload to its verdict.

With a callback: open the stream first, call the handler only when its token was accepted, send END with a verdict,
then tell the runtime API. Without one: call the handler, hand its whole answer to the runtime API. Either way each
invocation ends in exactly one answer to the runtime API, and the worker goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
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
from .runtime_client import AnswerTooLarge, Delivery, Failure
from .stream_exchange import StreamExchange
from .user_frames import traceback_lines

BODYLESS_TIME = 10.0
"""Seconds that a handler has to complete an answer whose body nobody reads (HEAD, 204, 304). Longer than
`cancel_grace`, because its client is content and its work is wanted."""

TOO_LARGE = Failure(
    "Function.ResponseSizeTooLarge", "the response is larger than 6 MB; it can be streamed in callback mode"
)


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
        self._cancel_grace = cancel_grace
        self._running: dict[Exchange, Callable[[Reason | str], None]] = {}
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
        except EventError as error:
            await runtime.fail(delivery.id, Failure("Dialback.BadPayload", str(error)))
            return
        delivery.event = b""
        scope = log_capture.Scope(delivery.id if stamp is None else stamp.invocation)
        log_capture.current.set(scope)
        try:
            if stamp is None:
                await self._buffered(delivery, event, runtime)
            else:
                await self._callback(delivery, event, stamp, runtime)
        finally:
            self._log.close(scope)

    def shut_down(self) -> None:
        """Tell every handler that nobody wants its response any more."""
        self._shutting_down = True
        for stop in list(self._running.values()):
            stop(Reason.SHUTDOWN)
        for background in self._background:
            background.cancel()

    def give_up(self) -> None:
        """The tasks of `serve` are about to be cancelled: a handler that is cancelled with them is not answered for."""
        self._given_up = True

    # --- callback mode ------------------------------------------------------------------------------------------------

    async def _callback(self, delivery: Delivery, event: Any, stamp: Stamp, runtime: Runtime) -> None:
        try:
            exchange = StreamExchange(delivery, event, stamp)
            socket = await self._receivers.open(stamp, exchange)
        except EventError as error:
            await runtime.fail(delivery.id, Failure("Dialback.BadPayload", str(error)))
            return
        except CallbackRefused as error:
            await runtime.fail(delivery.id, Failure(payload.REFUSED, str(error)))
            return
        except CallbackUnreachable as error:
            await runtime.fail(delivery.id, Failure(payload.UNREACHABLE, str(error)))
            return
        del stamp  # from here on the token is nowhere that user code's tracebacks could show it
        try:
            raised, background = await self._run(exchange)
            verdict = self._end_stream(exchange, raised)
            if not (runtime.in_order and exchange.over):
                await exchange.closed()
        finally:
            exchange.when_closed(partial(self._receivers.release, socket))
        if background.is_open():
            await self._finish_background(delivery, background)
        answer = f'{{"{payload.KEY}": {{"verdict": "{verdict.name.lower()}", "count": {exchange.count}}}}}'
        await runtime.respond(delivery.id, answer.encode())

    def _end_stream(self, exchange: StreamExchange, error: BaseException | None) -> Verdict:
        """Send END, unless the handler's complete response has sent it. `error` is what the handler raised."""
        gone, status, code, detail = exchange.gone, 0, "", ""
        if gone is not None and gone is not Reason.NO_BODY:
            # A response that was complete before its client left may still not have left this process.
            verdict = exchange.gone_verdict
            status, code = 504 if verdict is Verdict.TIMEOUT else 0, _word(gone)
        elif exchange.complete or (gone is not None and isinstance(error, (ClientGone, asyncio.CancelledError))):
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

    async def _buffered(self, delivery: Delivery, event: Any, runtime: Runtime) -> None:
        try:
            exchange = BufferedExchange(delivery, event)
        except EventError as error:
            await runtime.fail(delivery.id, Failure("Dialback.BadPayload", str(error)))
            return
        raised, background = await self._run(exchange)
        if background.is_open():
            await self._finish_background(delivery, background)
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
                await runtime.respond(delivery.id, exchange.value)
            except AnswerTooLarge:
                await runtime.fail(delivery.id, TOO_LARGE)
            return
        await runtime.fail(delivery.id, failure)

    # --- the handler --------------------------------------------------------------------------------------------------

    async def _run(self, exchange: Exchange) -> tuple[BaseException | None, Background]:
        """Run the handler to its end; returns what it raised, and the work that it left behind.

        When nobody wants the rest and it does not notice, it is cancelled. What it does after a complete response is
        its own, until the deadline.
        """
        background = Background(log_capture.current.get().id, self._log)
        if exchange.gone is not None:
            return ClientGone("the client has gone before the handler was called"), background
        context.current.set(context.CurrentInvocation(log_capture.current.get().id, exchange, background))
        loop = asyncio.get_running_loop()
        # The handler runs in the task of its invocation: another one would cost more than most handlers do.
        task = asyncio.current_task()
        assert task is not None
        timers: list[asyncio.TimerHandle] = []

        def cancel_incomplete() -> None:
            if not exchange.complete:
                task.cancel()

        def on_gone() -> None:
            patience = BODYLESS_TIME if exchange.gone is Reason.NO_BODY else self._cancel_grace
            timers.append(loop.call_later(self._cancel_grace, exchange.expire))
            timers.append(loop.call_later(patience, cancel_incomplete))

        def stop(why: Reason | str) -> None:
            exchange.leave(why)
            timers.append(loop.call_later(self._cancel_grace, task.cancel))

        exchange.when_gone(on_gone)
        if exchange.delivery.deadline_ms is not None:
            left = exchange.delivery.deadline_ms / 1000 - time.time()
            timers.append(loop.call_later(max(0.0, left), stop, "deadline"))
        self._running[exchange] = stop
        try:
            return await self._call(exchange), background
        except asyncio.CancelledError as error:
            if self._given_up:
                background.cancel()
                raise
            return error, background
        finally:
            del self._running[exchange]
            exchange.forget_callbacks()
            for timer in timers:
                timer.cancel()

    async def _finish_background(self, delivery: Delivery, background: Background) -> None:
        if self._shutting_down:
            background.cancel()
        self._background.add(background)
        try:
            deadline = delivery.deadline_ms
            await background.finish(None if deadline is None else max(0.0, deadline / 1000 - time.time()))
        finally:
            self._background.discard(background)

    async def _call(self, exchange: Exchange) -> BaseException | None:
        try:
            await self._handler.run(exchange)
        except asyncio.CancelledError:
            if exchange.gone is None:
                # Not ours: the user's code cancelled itself.
                return HandlerFailed("the handler was cancelled by its own code")
            raise
        except ClientGone as error:
            let_go(error)
            return error
        except BaseException as error:  # SystemExit too: one invocation must not take the others with it
            refusal = _refusal(exchange, error)
            if refusal is not None:
                if refusal is exchange.refused:
                    self._log.emit(log_capture.current.get().id, "log", "ERROR", [refusal.detail])
                let_go(error)
                return refusal
            if exchange.cut is None and not follows_from_leaving(error):
                self._log_failure(error)
            let_go(error)
            return error
        return None

    def _log_failure(self, error: BaseException) -> None:
        scope = log_capture.current.get()
        self._log.emit(scope.id, "log", "ERROR", traceback_lines(error))


def _refusal(exchange: Exchange, error: BaseException) -> AnswerError | None:
    """The answer that the bridge made of it, also when a framework put its own exception in that one's place."""
    if isinstance(error, AnswerError):
        return error
    return None if exchange.started else exchange.refused


def _word(why: Reason | str) -> str:
    return why.name.lower() if isinstance(why, Reason) else why
