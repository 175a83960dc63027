"""Invocations that come over the socket to the receiver, and not from a poll of the runtime API (mode `tunnel`).

They are served as those from a poll are: each opens its stream with its own token. What differs is where their last
word goes: DONE on the socket, which costs a frame where the runtime API costs a request.
"""

from __future__ import annotations

from dialback_wire.messages import Invoke

from .invocation import Runtime
from .receiver_socket import ReceiverSocket
from .runtime_client import Delivery, Failure


class TunnelRuntime:
    """Answers an invocation on the socket that it came over; by the runtime API when that is gone, or it failed."""

    __slots__ = ("_runtime", "_socket")

    def __init__(self, socket: ReceiverSocket, runtime: Runtime) -> None:
        self._socket = socket
        self._runtime = runtime

    @property
    def in_order(self) -> bool:
        """DONE follows END on the same socket, mostly in the same write."""
        return self._socket.mux.ready

    async def respond(self, request_id: str, body: bytes) -> None:
        """The invocation is over; how it ended stands in its stream's END. Raises what the runtime API does."""
        if self._socket.mux.ready:
            self._socket.mux.done(request_id)
        else:
            await self._runtime.respond(request_id, body)

    async def fail(self, request_id: str, failure: Failure) -> None:
        """The invocation has no stream that could say so. Raises what the runtime API does."""
        await self._runtime.fail(request_id, failure)


def delivery_of(invoke: Invoke) -> Delivery:
    """As a poll would have handed it out."""
    return Delivery(invoke.invocation, invoke.deadline_ms or None, "", None, None, invoke.event)
