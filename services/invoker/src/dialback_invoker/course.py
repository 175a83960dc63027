"""The way of one request through the invoker: route, admit, lease a worker, stamp, hand over, join, record.

A request that needs to wait for nothing goes as far as its worker at once, and what follows is told by callbacks: no
task is made for it. One that has to wait, for its body or for a worker, does so in a task.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Protocol, TypeVar

from dialback_invoker import buffered, routing, stamp
from dialback_invoker.admission import Admission
from dialback_invoker.deployment import Deployment
from dialback_invoker.errors import Forbidden, NotFound, Overloaded
from dialback_invoker.exchange import Exchange
from dialback_invoker.failures import failure_of
from dialback_invoker.join import Join
from dialback_invoker.lease import Answer, Lease, Tunnel
from dialback_invoker.outcome import Failure, Outcome
from dialback_invoker.pending import PendingTable
from dialback_invoker.pool import Pool
from dialback_invoker.recorded_request import BodyRoom
from dialback_invoker.routing import Route
from dialback_invoker.timeouts import Newcomers
from dialback_invoker.trace import Invocation
from dialback_wire import payload
from dialback_wire.fields import RUN_TICKET, first
from dialback_wire.messages import Request

T = TypeVar("T")

NO_DEADLINE = 0
"""What the bridge is told as deadline when there is none. Lambda's interface has no word for it."""

_NO_HEADERS: dict[str, str] = {}


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


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every request meets on its way."""

    directory: Directory
    pool_of: Callable[[Deployment], Pool]
    """The workers of an active deployment."""
    visit: Callable[[Deployment], Pool]
    """The workers of another one, which a ticket asks for."""
    pending: PendingTable
    admission: Admission
    bodies: BodyRoom
    newcomers: Newcomers
    redeem: Callable[[str], Ticket | None]
    tunnel_of: Callable[[str], Tunnel | None]
    default: str | None
    queue_seconds: float
    redact: Callable[[str, str], str]
    """Takes what must not be shown out of a text that comes from a function, which it is told first."""
    over: Callable[["Course"], None]
    """Is told when everything is over."""


class Course:
    """See the module. Is told of the ends of its exchange and of its lease."""

    __slots__ = (
        "_admitted",
        "_around",
        "_body",
        "_deployment",
        "_join",
        "_lease",
        "_plan",
        "_route",
        "_under_way",
        "_visiting",
        "exchange",
        "invocation",
        "task",
    )

    def __init__(self, around: Surroundings, invocation: Invocation) -> None:
        self.invocation = invocation
        self.exchange: Exchange = invocation.exchange
        self._around = around
        self._admitted = False
        self._route: Route
        self._deployment: Deployment
        self._visiting = False
        self._plan = payload.BODY_NONE
        self._body: bytes | None = None
        self._lease: Lease | None = None
        self._join: Join | None = None
        self.task: asyncio.Task[None] | None = None
        self._under_way = True
        """Whether something besides the client's side is not over."""

    # --- to the worker ------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Go as far as can be gone without waiting; a task goes on from there."""
        exchange = self.exchange
        exchange.owner = self
        try:
            self._around.admission.admit()
            self._admitted = True
            exchange.timeline.mark("admitted")
            limit = self._find_function()
            lease = self._lease_now() if self._plan != payload.BODY_INLINE else None
            if lease is not None:
                self._hand_over(lease)
                return
        except Exception as error:
            self._fail(error)
            return
        self._wait_in_task(limit)

    def _find_function(self) -> int:
        """Whose request it is, and how its body travels. Returns the most bytes that are read into one value."""
        invocation, exchange = self.invocation, self.exchange
        request = invocation.request
        route = routing.route(request, self._around.default)
        if route is None:
            raise NotFound("no function is named; ask for /@NAME/ or NAME.localhost", code="no_function_named")
        self._route = route
        ticket = self._ticket(route)
        deployment = self._active(route.function)
        if ticket is not None and ticket.deployment is not None and ticket.deployment.id != deployment.id:
            deployment, self._visiting = ticket.deployment, True
        self._deployment = deployment
        config = deployment.config
        invocation.function, invocation.mode = deployment.function, config.mode if ticket is None else ticket.mode
        exchange.on_disconnect, exchange.linger_seconds = config.on_disconnect, config.linger_seconds
        exchange.redact = _redactor(self._around.redact, deployment.function)
        exchange.tells_errors = config.errors == "detailed"
        exchange.begin(config.timeouts, self._around.newcomers)
        self._plan, limit = _plan(request, invocation.mode)
        exchange.upload.streams = self._plan == payload.BODY_STREAM
        return limit

    def _ticket(self, route: Route) -> Ticket | None:
        text = first(self.invocation.request.fields, RUN_TICKET)
        if text is None:
            return None
        ticket = self._around.redeem(text.decode("latin-1"))
        if ticket is None or ticket.function.lower() != route.function.lower():
            raise Forbidden("the run ticket is unknown, used up or for another function", code="bad_ticket")
        ticket.watch(self.invocation)
        return ticket

    def _active(self, function: str) -> Deployment:
        deployment = self._around.directory.resolve(function)
        if deployment is None:
            raise NotFound(f"no function named {function!r}", code="function_not_found")
        return deployment

    def _pool(self) -> Pool:
        around = self._around
        return around.visit(self._deployment) if self._visiting else around.pool_of(self._deployment)

    def _lease_now(self, *, least_loaded: bool = False) -> Lease | None:
        """A warm worker's slot, or None when one must be waited for."""
        self.exchange.phase = "Q"
        while True:
            self.invocation.deployment = self._deployment.id
            pool = self._pool()
            try:
                return pool.lease_now(self.exchange.timeline.mark, least_loaded=least_loaded)
            except Overloaded as error:
                self._follow(pool, error)

    def _follow(self, pool: Pool, error: Overloaded) -> None:
        """Superseded between the look and the lease: the following version serves. No worker was asked, so this is no
        retry. Raises `error` when it means something else.
        """
        following = self._active(self._deployment.function)
        if error.code != "retired" or (not self._visiting and self._around.pool_of(following) is pool):
            raise error
        if not self._visiting:
            self._deployment = following

    # --- waiting ------------------------------------------------------------------------------------------------------

    def _wait_in_task(self, limit: int = 0, *, again: bool = False) -> None:
        task = self.task = asyncio.get_running_loop().create_task(self._wait(limit, again))
        task.add_done_callback(self._waited)

    async def _wait(self, limit: int, again: bool) -> None:
        try:
            if self._plan == payload.BODY_INLINE and not again:
                await self._take_body(limit)
            self._hand_over(self._lease_now(least_loaded=again) or await self._wait_for_lease())
        except _ClientOver:
            self._under_way = False
        except Exception as error:
            self._fail(error)

    def _waited(self, task: asyncio.Task[None]) -> None:
        if self.task is task:
            self.task = None
        if task.cancelled():
            self._under_way = False
        self._look()

    async def _take_body(self, limit: int) -> None:
        body = self._body = await _unless_over(self.exchange, self.exchange.upload.whole(limit))
        if self._deployment.config.record_bodies and self._around.bodies.take(len(body)):
            self.invocation.body = body

    async def _wait_for_lease(self) -> Lease:
        """A worker's slot. The wait ends with the client's patience, and with the queue's."""
        while True:
            self.invocation.deployment = self._deployment.id
            pool = self._pool()
            try:
                with self._around.admission.queued(self._deployment.function):
                    return await _unless_over(self.exchange, self._wait_for_slot(pool))
            except Overloaded as error:
                self._follow(pool, error)

    async def _wait_for_slot(self, pool: Pool) -> Lease:
        exchange, queue_seconds = self.exchange, self._around.queue_seconds
        try:
            async with asyncio.timeout(queue_seconds) as patience:

                def mark(name: str) -> None:
                    exchange.timeline.mark(name)
                    if name == "worker_start":
                        exchange.phase = "L"
                        exchange.starting()
                        patience.reschedule(None)

                return await pool.lease(mark)
        except TimeoutError:
            text = f"no worker was free within {queue_seconds:g} s"
            raise Overloaded(text, code="queue_timeout", retry_after=5) from None

    # --- at the worker ------------------------------------------------------------------------------------------------

    def _hand_over(self, lease: Lease) -> None:
        """Give the payload to the worker: through its tunnel, or to its next poll."""
        invocation, exchange, config = self.invocation, self.exchange, self._deployment.config
        self._lease = lease
        invocation.worker, invocation.cold = lease.worker.id, lease.cold
        event = self._stamp(lease.worker.callback_url)
        total = config.timeouts.total
        exchange.phase = "W"
        exchange.starting()
        encoded = stamp.encode(event)
        invocation.payload = stamp.kept(event, encoded, bodies=config.record_bodies)
        trace_id = first(invocation.request.fields, b"x-amzn-trace-id")
        headers = {"lambda-runtime-trace-id": trace_id.decode("latin-1")} if trace_id else _NO_HEADERS
        # When `total` will fire, and not so long from now: waiting for a worker has taken its part.
        deadline = int((exchange.begun + total) * 1000) if total else NO_DEADLINE
        tunnel = self._around.tunnel_of(invocation.worker) if invocation.mode == "tunnel" else None
        self._join = Join(exchange, lease, self._around.pending, total, self._joined)
        lease.hand_over(invocation.request.id, encoded, deadline, headers, tunnel)
        if lease.tunnelled:
            exchange.timeline.frame("socket", "down", 0, "INVOKE", len(encoded))
        else:
            exchange.timeline.frame("runtime", "down", 0, "PAYLOAD", len(encoded))
        if invocation.mode == "buffered":
            exchange.running()
            exchange.attach(buffered.BufferedSource())
        lease.when_answered(self.answered)
        if exchange.outcome is not None:
            self.client_over()

    def _stamp(self, url: str) -> dict[str, object]:
        """The payload, with a callback to ``url`` and a fresh token unless the mode is `buffered`."""
        invocation = self.invocation
        request = invocation.request
        if invocation.span is not None:
            request = request._replace(fields=invocation.span.to_worker(request.fields))
        callback = None
        if invocation.mode != "buffered":
            token = self._around.pending.mint(request.id, invocation.worker, self.exchange)
            callback = stamp.Callback(url, token, self._plan, request.body_length)
        return stamp.event(request, self._route, self._body, callback)

    # --- the end ------------------------------------------------------------------------------------------------------

    def answered(self, answer: Answer) -> None:
        """The lease's: the runtime has answered."""
        if self._join is not None:
            try:
                self._join.answered(answer)
            except Exception as error:
                self._fail(error)

    def source_over(self) -> None:
        """The exchange's: the worker's side has ended."""
        if self._join is not None:
            self._join.source_over()

    def client_over(self) -> None:
        """The exchange's: the client's side has its outcome."""
        if self._join is not None:
            self._join.client_over()
        else:
            self._look()

    def _joined(self) -> None:
        declined = self._leave_worker()
        if declined and self.exchange.outcome is None:
            # It was given back before it had begun: the one case in which another worker may be asked.
            self._wait_in_task(again=True)
            return
        self._under_way = False
        self._look()

    def _leave_worker(self) -> bool:
        """Give the slot back; returns whether the worker had declined."""
        lease, self._lease, self._join = self._lease, None, None
        self._around.pending.end(self.invocation.request.id)
        if lease is None:
            return False
        lease.release()
        return lease.declined

    def _fail(self, error: Exception) -> None:
        """The platform ends it, because of `error`."""
        self._leave_worker()
        self._under_way = False
        self.exchange.fail(failure_of(error, self.exchange))
        self._look()

    def end(self, failure: Failure) -> None:
        """End it now, because of `failure`."""
        self.exchange.fail(failure)

    def drop(self) -> None:
        """Wait for nothing any more."""
        if self.task is not None:
            self.task.cancel()
        elif self._join is not None:
            self._join.finish()

    def _look(self) -> None:
        """Tell when everything is over, once."""
        outcome = self.exchange.outcome
        if self._under_way or self.task is not None or outcome is None:
            return
        self._under_way = True
        if self._admitted:
            self._around.admission.leave()
        self.invocation.outcome = outcome
        self._around.over(self)
        if self.invocation.body is not None:
            self._around.bodies.give_back(len(self.invocation.body))
        self.exchange.let_go()


@lru_cache(maxsize=256)
def _redactor(redact: Callable[[str, str], str], function: str) -> Callable[[str], str]:
    """One for all requests of a function."""
    return partial(redact, function)


class _ClientOver(Exception):
    """The client's side ended while something was awaited for it: it left, or a time-out fired."""


def _plan(request: Request, mode: str) -> tuple[str, int]:
    """How the request's body travels, and the most bytes that are read into one value."""
    if request.body_length == 0:
        return payload.BODY_NONE, 0
    if mode == "buffered":
        return payload.BODY_INLINE, payload.LAMBDA_LIMIT
    if request.body_length is not None and request.body_length <= payload.INLINE_LIMIT:
        return payload.BODY_INLINE, payload.INLINE_LIMIT
    return payload.BODY_STREAM, 0


async def _unless_over(exchange: Exchange, work: Awaitable[T]) -> T:
    """The result of `work`, given up as soon as the client's side is over. Raises _ClientOver then."""
    task = asyncio.ensure_future(work)
    try:
        either: list[asyncio.Future[T] | asyncio.Future[Outcome]] = [task, exchange.settled]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise _ClientOver
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
