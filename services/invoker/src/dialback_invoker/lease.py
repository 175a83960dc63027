"""A lease: one invocation's hold on one slot of a worker, from the choice of the worker to the end of both sides.

The slot is free again when the platform has released the lease **and** the runtime has answered: a synchronous handler
that was cancelled goes on running until its next write, and holds its slot until then. A payload that no poll has taken
yet is simply taken back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dialback_invoker.runtime_api import FunctionError, Payload

if TYPE_CHECKING:
    from dialback_invoker.worker import Worker

Mark = Callable[[str], None]
"""Told the name of a step at the moment it happens."""


@dataclass(slots=True)
class Response:
    """The runtime posted `response`."""

    body: bytes


@dataclass(frozen=True, slots=True)
class WorkerDied:
    """The worker ended before it answered."""

    reason: str
    code: int | None = None
    signal: int | None = None
    oom: bool = False
    stderr_tail: str = ""


@dataclass(frozen=True, slots=True)
class Declined:
    """The worker gave the invocation back, or lost it, before anything was done for it."""


Answer = Response | FunctionError | WorkerDied | Declined


class Tunnel(Protocol):
    """A worker's own socket to the receiver, which takes invocations as a poll does."""

    def invoke(self, payload: Payload, desk: TunnelDesk) -> bool:
        """Send it; False when it cannot go this way. `desk` is told what became of it."""
        ...


class TunnelDesk(Protocol):
    """Who is told of an invocation that went through a tunnel."""

    def response(self, invocation_id: str, body: bytes) -> bool: ...

    def declined(self, invocation_id: str) -> None: ...


class Lease:
    """Made by `Pool.lease`. ``release`` must be called exactly when the invocation is over for the platform; twice
    is harmless.
    """

    __slots__ = (
        "_answer",
        "_mark",
        "_on_answer",
        "_result",
        "answered",
        "cold",
        "condemned",
        "invocation",
        "payload",
        "released",
        "taken",
        "tunnelled",
        "worker",
    )

    def __init__(self, worker: Worker, mark: Mark, *, cold: bool) -> None:
        self.worker = worker
        self.cold = cold
        """Whether this is the worker's first lease."""
        self.invocation = ""
        """The invocation's id, from `hand_over` on."""
        self.payload: Payload | None = None
        """What waits to be taken."""
        self.taken = False
        self.tunnelled = False
        """Whether it went over the worker's socket."""
        self.answered = False
        """Whether the runtime is done with it."""
        self.released = False
        self.condemned = False
        self._mark = mark
        self._answer: Answer | None = None
        self._result: asyncio.Future[Answer] | None = None
        self._on_answer: Callable[[Answer], None] | None = None

    @property
    def result(self) -> asyncio.Future[Answer]:
        """The runtime's answer, for those who wait in a task. Never fails; shield it when waiting with a limit."""
        if self._result is None:
            self._result = asyncio.get_running_loop().create_future()
            if self._answer is not None:
                self._result.set_result(self._answer)
        return self._result

    def when_answered(self, callback: Callable[[Answer], None]) -> None:
        """Have `callback` called as soon as the runtime has answered, at once if it has."""
        if self._answer is not None:
            callback(self._answer)
        else:
            self._on_answer = callback

    def hand_over(
        self,
        invocation_id: str,
        payload: bytes,
        deadline_ms: int,
        headers: Mapping[str, str],
        tunnel: Tunnel | None = None,
    ) -> None:
        """Sends the event through the tunnel, or queues it for the worker's next poll; mark "payload_handed"
        follows when it was taken. Once per lease.

        ``deadline_ms``: Unix milliseconds. ``headers``: further fields of the answer (``lambda-runtime-trace-id``,
        ...).
        """
        assert not self.invocation, "a lease carries one invocation"
        self.invocation = invocation_id
        self.payload = Payload(invocation_id, payload, deadline_ms, headers)
        self.worker.enqueue(self, tunnel)

    @property
    def declined(self) -> bool:
        """Whether nothing was done for it, so that another worker may be asked."""
        return isinstance(self._answer, Declined)

    def release(self) -> None:
        """The invocation is over for the platform."""
        if not self.released:
            self.released = True
            self.worker.lease_changed(self)

    def condemn(self, deadline: float) -> None:
        """This invocation hangs: the worker gets no new work, and is killed when its other leases have ended.

        ``deadline``: loop time at which it is killed at the latest; ``math.inf`` when the others have none.
        """
        self.condemned = True
        self.worker.condemn_for(self, deadline)

    # called by the worker

    def take(self) -> Payload:
        """A poll is answered with the payload now."""
        # A stream may go on for days: the event, which is the worker's now, need not.
        payload, self.payload = self.payload, None
        assert payload is not None
        self.taken = True
        self._mark("payload_handed")
        return payload

    def answer(self, answer: Answer) -> None:
        """The runtime is done with it."""
        if self.answered:
            return
        self.answered = True
        self._answer = answer
        if self._result is not None and not self._result.done():
            self._result.set_result(answer)
        on_answer, self._on_answer = self._on_answer, None
        if on_answer is not None:
            on_answer(answer)

    @property
    def over(self) -> bool:
        """Whether the slot is free again."""
        return self.released and (self.answered or not self.taken)
