"""Takes requests from links and sees each through: who is on the way, and how all of them end when the platform stops.

What happens to one request is told in `course`.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from dialback_invoker.admission import Admission
from dialback_invoker.course import Course, Directory, Surroundings, Ticket
from dialback_invoker.deployment import Deployment
from dialback_invoker.exchange import Exchange
from dialback_invoker.lease import Tunnel
from dialback_invoker.outcome import Failure
from dialback_invoker.pending import PendingTable
from dialback_invoker.pool import Pool
from dialback_invoker.recorded_request import BodyRoom
from dialback_invoker.timeline import Timeline
from dialback_invoker.timeouts import Newcomers
from dialback_invoker.trace import Invocation
from dialback_invoker.tracing import Tracer
from dialback_wire.messages import Reason, Refusal, Request, Verdict
from dialback_wire.sink import StreamSink
from dialback_wire.stream import Stream

ABORT_SECONDS: Final = 1.0
"""How long invocations have to end once they were told that the platform stops."""


class Dispatch:
    """Takes requests from links. `pool_of` gives the workers of an active deployment, `visit` those of another that a
    ticket asks for.
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
        self._around = Surroundings(
            directory,
            pool_of,
            visit,
            pending,
            admission,
            BodyRoom(),
            Newcomers(),
            redeem,
            tunnel_of,
            default,
            queue_seconds,
            redact,
            self._over,
        )
        self._record = record
        self._tracer = tracer
        self._courses: dict[Course, None] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self.draining = False

    @property
    def live(self) -> list[Invocation]:
        """Invocations that are not over, in the order of their arrival."""
        return [course.invocation for course in self._courses]

    def open(self, stream: Stream, opened: Request | bytes) -> StreamSink:
        """A link opened a stream: the handler of `Mux.on_open`."""
        assert isinstance(opened, Request)
        exchange = Exchange(opened, stream, Timeline(opened.age_us / 1e6))
        if self.draining:
            stream.refuse(Refusal.UNAVAILABLE, "the platform is stopping")
            return exchange
        stream.sink = exchange
        invocation = Invocation(opened, exchange)
        if self._tracer is not None:
            invocation.span = self._tracer(opened.fields)
        course = Course(self._around, invocation)
        if not self._courses:
            self._empty.clear()
        self._courses[course] = None
        course.begin()
        return exchange

    async def drained(self) -> None:
        """Wait until every invocation is over."""
        await self._empty.wait()

    async def abort(self) -> None:
        """End every invocation now."""
        failure = Failure(Verdict.UNAVAILABLE, "K", 503, "stopped", "the platform was stopped", Reason.SHUTDOWN)
        for course in list(self._courses):
            course.end(failure)
        try:
            async with asyncio.timeout(ABORT_SECONDS):
                await self._empty.wait()
        except TimeoutError:
            waiting = [course.task for course in self._courses if course.task is not None]
            for course in list(self._courses):
                course.drop()
            await asyncio.gather(*waiting, return_exceptions=True)

    def _over(self, course: Course) -> None:
        del self._courses[course]
        if not self._courses:
            self._empty.set()
        invocation = course.invocation
        self._record(invocation)
        if invocation.span is not None:
            invocation.span.end(invocation)
