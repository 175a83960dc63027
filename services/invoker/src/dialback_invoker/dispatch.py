"""The way of one request through the invoker: route, admit, lease a worker, stamp, hand over, join, record."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from dialback_invoker import buffered, routing, stamp
from dialback_invoker.admission import Admission
from dialback_invoker.deployment import Deployment
from dialback_invoker.errors import DialbackError, Forbidden, NotFound, Overloaded
from dialback_invoker.exchange import HANDLER_ERROR, Exchange
from dialback_invoker.function_config import FunctionConfig
from dialback_invoker.launchers.base import LaunchFailed
from dialback_invoker.lease import Answer, Declined, Lease, Response, Tunnel, WorkerDied
from dialback_invoker.outcome import Failure, Outcome
from dialback_invoker.pending import PendingTable
from dialback_invoker.pool import Pool
from dialback_invoker.recorded_request import BodyRoom
from dialback_invoker.routing import Route
from dialback_invoker.runtime_api import FunctionError
from dialback_invoker.timeline import Timeline
from dialback_invoker.trace import Invocation
from dialback_invoker.tracing import Tracer
from dialback_invoker.upload import UploadBroken
from dialback_wire import payload
from dialback_wire.fields import RUN_TICKET, first
from dialback_wire.messages import Reason as CancelReason
from dialback_wire.messages import Refusal, Request, Verdict
from dialback_wire.sink import StreamSink
from dialback_wire.stream import Stream

log = logging.getLogger("dialback.dispatch")

T = TypeVar("T")

NO_DEADLINE = 0
"""What the bridge is told as deadline when there is none. Lambda's interface has no word for it."""
JOIN_SECONDS = 2.0
"""How long the other half of an end may take: the stream's END when the runtime has answered, or the reverse."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """One request's permission to run in another mode, made by the control API."""

    function: str
    mode: str
    watch: Callable[[Invocation], None]
    deployment: Deployment | None = None
    """The version that is to answer; None: the active one."""


class Directory(Protocol):
    """Which deployments answer (the store's registry)."""

    def resolve(self, name: str) -> Deployment | None: ...


class Dispatch:
    """Takes requests from links and sees each through. `pool_of` gives the workers of an active deployment, `visit`
    those of another that a ticket asks for.
    """

    def __init__(
        self,
        directory: Directory,
        pool_of: Callable[[Deployment], Pool],
        pending: PendingTable,
        admission: Admission,
        *,
        record: Callable[[Invocation], None],
        redeem: Callable[[str], Ticket | None],
        visit: Callable[[Deployment], Pool],
        tunnel_of: Callable[[str], Tunnel | None] = lambda _: None,
        default: str | None = None,
        queue_seconds: float = 30.0,
        tracer: Tracer | None = None,
        redact: Callable[[str, str], str] = lambda _, text: text,
    ) -> None:
        """`redact` takes what must not be shown out of a text that comes from a function, which it is told first."""
        self._directory = directory
        self._pool_of = pool_of
        self._pending = pending
        self._admission = admission
        self._record = record
        self._redeem = redeem
        self._visit = visit
        self._bodies = BodyRoom()
        self._tunnel_of = tunnel_of
        self._default = default
        self._queue_seconds = queue_seconds
        self._tracer = tracer
        self._redact = redact
        self._tasks: dict[asyncio.Task[None], Invocation] = {}
        self.draining = False

    @property
    def live(self) -> list[Invocation]:
        """Invocations that are not over, in the order of their arrival."""
        return list(self._tasks.values())

    def open(self, stream: Stream, opened: Request | bytes) -> StreamSink:
        """A link opened a stream: the handler of `Mux.on_open`."""
        assert isinstance(opened, Request)
        timeline = Timeline(opened.age_us / 1e6)
        exchange = Exchange(opened, stream, timeline)
        invocation = Invocation(opened, exchange)
        if self.draining:
            stream.refuse(Refusal.UNAVAILABLE, "the platform is stopping")
            return exchange
        stream.sink = exchange
        if self._tracer is not None:
            invocation.span = self._tracer(opened.fields)
        task = asyncio.get_running_loop().create_task(self._see_through(invocation, exchange))
        self._tasks[task] = invocation
        task.add_done_callback(self._tasks.pop)
        return exchange

    async def drained(self) -> None:
        """Wait until every invocation is over."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def abort(self) -> None:
        """End every invocation now."""
        failure = Failure(Verdict.UNAVAILABLE, "K", 503, "stopped", "the platform was stopped", CancelReason.SHUTDOWN)
        tasks = list(self._tasks.items())
        for _, invocation in tasks:
            invocation.exchange.fail(failure)
        if tasks:
            await asyncio.wait([task for task, _ in tasks], timeout=1.0)
        for task, _ in tasks:
            task.cancel()
        await asyncio.gather(*(task for task, _ in tasks), return_exceptions=True)

    # --- one request --------------------------------------------------------------------------------------------------

    async def _see_through(self, invocation: Invocation, exchange: Exchange) -> None:
        try:
            with self._admission.admitted():
                exchange.timeline.mark("admitted")
                await self._serve(invocation, exchange)
        except ClientOver:
            pass
        except DialbackError as error:
            exchange.fail(_failure(error, exchange))
        except UploadBroken as error:
            exchange.fail(Failure(Verdict.TRUNCATED, "C", 400, "upload_broken", str(error), CancelReason.CLIENT_GONE))
        except Exception as error:
            log.exception("invocation %s failed", invocation.request.id)
            exchange.fail(Failure(Verdict.ERROR, "I", 500, "internal_error", type(error).__name__, CancelReason.KILLED))
        invocation.outcome = await exchange.outcome
        self._record(invocation)
        if invocation.span is not None:
            invocation.span.end(invocation)
        if invocation.body is not None:
            self._bodies.give_back(len(invocation.body))
        exchange.let_go()

    async def _serve(self, invocation: Invocation, exchange: Exchange) -> None:
        route, ticket = self._route(invocation)
        deployment, visiting = self._find(route.function), False
        if ticket is not None and ticket.deployment is not None and ticket.deployment.id != deployment.id:
            deployment, visiting = ticket.deployment, True
        config = deployment.config
        invocation.function, invocation.mode = deployment.function, config.mode if ticket is None else ticket.mode
        exchange.on_disconnect, exchange.linger_seconds = config.on_disconnect, config.linger_seconds
        exchange.redact = partial(self._redact, deployment.function)
        exchange.tells_errors = config.errors == "detailed"
        exchange.begin(config.timeouts)
        plan, limit = _plan(invocation.request, invocation.mode)
        exchange.upload.streams = plan == payload.BODY_STREAM
        body: bytes | None = None
        if plan == payload.BODY_INLINE:
            body = await _unless_over(exchange, exchange.upload.whole(limit))
            if config.record_bodies and self._bodies.take(len(body)):
                invocation.body = body
        again = False
        while True:
            lease = await self._lease(invocation, exchange, deployment, visiting=visiting, least_loaded=again)
            try:
                self._hand_over(
                    invocation,
                    exchange,
                    lease,
                    self._stamp(invocation, exchange, lease.worker.callback_url, route, body, plan),
                    config,
                )
                await self._join(exchange, lease, config.timeouts.total)
            finally:
                self._pending.end(invocation.request.id)
                lease.release()
            if not lease.declined or exchange.outcome.done():
                return
            # It was given back before it had begun: the one case in which another worker may be asked.
            again = True

    def _route(self, invocation: Invocation) -> tuple[Route, Ticket | None]:
        """Where the request goes, and its ticket if it has one."""
        request = invocation.request
        found = routing.route(request, self._default)
        if found is None:
            raise NotFound("no function is named; ask for /@NAME/ or NAME.localhost", code="no_function_named")
        text = first(request.fields, RUN_TICKET)
        if text is None:
            return found, None
        ticket = self._redeem(text.decode("latin-1"))
        if ticket is None or ticket.function.lower() != found.function.lower():
            raise Forbidden("the run ticket is unknown, used up or for another function", code="bad_ticket")
        ticket.watch(invocation)
        return found, ticket

    def _find(self, function: str) -> Deployment:
        deployment = self._directory.resolve(function)
        if deployment is None:
            raise NotFound(f"no function named {function!r}", code="function_not_found")
        return deployment

    async def _lease(
        self, invocation: Invocation, exchange: Exchange, deployment: Deployment, *, visiting: bool, least_loaded: bool
    ) -> Lease:
        """A worker's slot. The wait ends with the client's patience, and with the queue's."""
        exchange.phase = "Q"
        while True:
            invocation.deployment = deployment.id
            pool = self._visit(deployment) if visiting else self._pool_of(deployment)
            try:
                lease = pool.lease_now(exchange.timeline.mark, least_loaded=least_loaded)
                if lease is None:
                    with self._admission.queued(deployment.function):
                        lease = await _unless_over(exchange, self._wait_for_slot(exchange, pool))
            except Overloaded as error:
                following = self._find(deployment.function)
                if error.code != "retired" or (not visiting and self._pool_of(following) is pool):
                    raise
                if visiting:
                    continue
                # Superseded between the look and the lease. No worker was asked, so this is no retry.
                deployment = following
                continue
            invocation.worker, invocation.cold = lease.worker.id, lease.cold
            return lease

    async def _wait_for_slot(self, exchange: Exchange, pool: Pool) -> Lease:
        try:
            async with asyncio.timeout(self._queue_seconds) as patience:

                def mark(name: str) -> None:
                    exchange.timeline.mark(name)
                    if name == "worker_start":
                        exchange.phase = "L"
                        exchange.starting()
                        patience.reschedule(None)

                return await pool.lease(mark)
        except TimeoutError:
            text = f"no worker was free within {self._queue_seconds:g} s"
            raise Overloaded(text, code="queue_timeout", retry_after=5) from None

    def _stamp(
        self, invocation: Invocation, exchange: Exchange, url: str, route: Route, body: bytes | None, plan: str
    ) -> dict[str, object]:
        """The payload, with a callback to ``url`` and a fresh token unless the mode is `buffered`."""
        request = invocation.request
        if invocation.span is not None:
            request = request._replace(fields=invocation.span.to_worker(request.fields))
        callback = None
        if invocation.mode != "buffered":
            token = self._pending.mint(request.id, invocation.worker, exchange)
            callback = stamp.Callback(url, token, plan, request.body_length)
        return stamp.event(request, route, body, callback)

    def _hand_over(
        self, invocation: Invocation, exchange: Exchange, lease: Lease, event: dict[str, object], config: FunctionConfig
    ) -> None:
        """Give the payload to the worker's next poll."""
        total = config.timeouts.total
        invocation.payload = stamp.shown(event, bodies=config.record_bodies)
        exchange.phase = "W"
        exchange.starting()
        encoded = stamp.encode(event)
        trace_id = first(invocation.request.fields, b"x-amzn-trace-id")
        headers = {"lambda-runtime-trace-id": trace_id.decode("latin-1")} if trace_id else {}
        # When `total` will fire, and not so long from now: waiting for a worker has taken its part.
        deadline = int((exchange.begun + total) * 1000) if total else NO_DEADLINE
        tunnel = self._tunnel_of(invocation.worker) if invocation.mode == "tunnel" else None
        lease.hand_over(invocation.request.id, encoded, deadline, headers, tunnel)
        if lease.tunnelled:
            exchange.timeline.frame("socket", "down", 0, "INVOKE", len(encoded))
        else:
            exchange.timeline.frame("runtime", "down", 0, "PAYLOAD", len(encoded))
        if invocation.mode == "buffered":
            exchange.running()
            exchange.attach(buffered.BufferedSource())

    async def _join(self, exchange: Exchange, lease: Lease, total: float) -> None:
        """Wait for both halves of the end: the client's, and the runtime's answer."""
        result = lease.result
        await _either(result, exchange.outcome)
        if result.done():
            _note_answer(exchange, lease)
            await self._answered(exchange, result.result())
            return
        # A token that was not used until now opens nothing any more.
        self._pending.end(exchange.request.id)
        if exchange.goes_on:
            await asyncio.wait([result], timeout=total or None)
        elif lease.taken:
            if exchange.on_time_out is not None:
                lease.worker.condemn()
            await asyncio.wait([result], timeout=JOIN_SECONDS)
        if result.done():
            _note_answer(exchange, lease)
        elif exchange.on_time_out is not None or exchange.goes_on:
            lease.condemn(math.inf)

    async def _answered(self, exchange: Exchange, answer: Answer) -> None:
        """The runtime has answered, and the client may not have its end yet."""
        if exchange.outcome.done() or isinstance(answer, Declined):
            return
        if exchange.source is None or isinstance(exchange.source, buffered.BufferedSource):
            self._pending.end(exchange.request.id)
            if isinstance(answer, Response):
                exchange.attach(buffered.BufferedSource())
                buffered.deliver(answer.body, exchange)
            else:
                exchange.fail(_unanswered(answer))
        elif exchange.lost and isinstance(answer, WorkerDied):
            exchange.give_up(*_death(answer))
        elif not exchange.ended.done():
            # What the bridge wrote before it answered, or died, may still be on its way; a dead worker's socket ends.
            await asyncio.wait([exchange.ended], timeout=JOIN_SECONDS)
            if exchange.lost and isinstance(answer, WorkerDied):
                exchange.give_up(*_death(answer))
            elif not exchange.ended.done():
                detail = "the worker answered the runtime API, and its stream has no end"
                exchange.fail(Failure(Verdict.TRUNCATED, "S", 502, "no_end", detail, CancelReason.KILLED))
        # The client takes what it is still owed at its own pace.
        await asyncio.wait([exchange.outcome])


class ClientOver(Exception):
    """The client's side ended while something was awaited for it: it left, or a time-out fired."""


# --- what failures mean to the client -------------------------------------------------------------------------------


def _plan(request: Request, mode: str) -> tuple[str, int]:
    """How the request's body travels, and the most bytes that are read into one value."""
    if request.body_length == 0:
        return payload.BODY_NONE, 0
    if mode == "buffered":
        return payload.BODY_INLINE, payload.LAMBDA_LIMIT
    if request.body_length is not None and request.body_length <= payload.INLINE_LIMIT:
        return payload.BODY_INLINE, payload.INLINE_LIMIT
    return payload.BODY_STREAM, 0


def _failure(error: DialbackError, exchange: Exchange) -> Failure:
    """What a refusal on the way to the worker becomes. A worker's start is explained in the log, not to the client."""
    message = exchange.redact(error.message)
    if isinstance(error, Overloaded):
        return Failure(Verdict.OVERLOAD, "R", 503, error.code, message, CancelReason.KILLED, max(1, error.retry_after))
    if isinstance(error, LaunchFailed):
        log.error("%s: %s", exchange.request.id, message.partition("\n")[0])
        if error.code == "start_timeout":
            return Failure(Verdict.TIMEOUT, "s", 504, "timeout_start", message, CancelReason.TIMEOUT_START)
        detail = "the function's worker could not be started; the function's log says why"
        # A function that cannot be imported is to blame itself, anything else is its worker.
        who = "F" if error.code == "init_error" else "S"
        return Failure(Verdict.ERROR, who, 502, error.code, detail, CancelReason.KILLED, error.retry_after)
    who = "L" if isinstance(error, NotFound) else "P" if error.http_status < 500 else "I"
    return Failure(Verdict.ERROR, who, error.http_status, error.code, message, CancelReason.KILLED)


def _unanswered(answer: FunctionError | WorkerDied) -> Failure:
    """A worker that gave no response: what its error, or its death, means."""
    if isinstance(answer, WorkerDied):
        return Failure(Verdict.ERROR, "S", 502, *_death(answer), CancelReason.KILLED)
    if answer.type == payload.UNREACHABLE:
        detail = "the worker could not reach the receiver; the handler was not called"
        return Failure(Verdict.TIMEOUT, "s", 504, "receiver_unreachable", detail, CancelReason.KILLED)
    if answer.type == payload.REFUSED:
        return Failure(Verdict.ERROR, "I", 502, "token_refused", answer.message, CancelReason.KILLED)
    return Failure(Verdict.ERROR, "F", 500, HANDLER_ERROR, f"{answer.type}: {answer.message}", CancelReason.KILLED)


def _death(died: WorkerDied) -> tuple[str, str]:
    """A short word and a sentence for a worker's death."""
    return "out_of_memory" if died.oom else "worker_died", f"the worker {died.reason}"


def _note_answer(exchange: Exchange, lease: Lease) -> None:
    answer = lease.result.result()
    exchange.timeline.mark("runtime_answered")
    if lease.tunnelled and isinstance(answer, (Response, Declined)):
        exchange.timeline.frame("socket", "up", 0, "DECLINE" if lease.declined else "DONE", 0)
        return
    size = len(answer.body) if isinstance(answer, Response) else 0
    exchange.timeline.frame("runtime", "up", 0, type(answer).__name__.upper(), size)


async def _either(one: asyncio.Future[Answer], other: asyncio.Future[Outcome]) -> None:
    """Wait until one of both is done. On every request's way, so without the sets and callbacks of asyncio.wait."""
    if one.done() or other.done():
        return
    woken = asyncio.get_running_loop().create_future()

    def wake(_: object) -> None:
        if not woken.done():
            woken.set_result(None)

    one.add_done_callback(wake)
    other.add_done_callback(wake)
    await woken


async def _unless_over(exchange: Exchange, work: Awaitable[T]) -> T:
    """The result of `work`, given up as soon as the client's side is over. Raises ClientOver then."""
    task = asyncio.ensure_future(work)
    try:
        either: list[asyncio.Future[T] | asyncio.Future[Outcome]] = [task, exchange.outcome]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientOver
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
