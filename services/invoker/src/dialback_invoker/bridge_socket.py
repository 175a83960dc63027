"""One bridge's socket at the receiver: what both carriers have in common.

A socket belongs to one worker, and opens only invocations that were given to that worker.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable

from dialback_invoker.callback import CallbackSource
from dialback_invoker.lease import TunnelDesk
from dialback_invoker.pending import PendingTable, Refused
from dialback_invoker.runtime_api import Payload
from dialback_wire.flow import Budget
from dialback_wire.messages import Invoke, Limits, Refusal, Request
from dialback_wire.mux import Mux
from dialback_wire.outlet import Outlet
from dialback_wire.sink import BaseSink, StreamSink
from dialback_wire.stream import Stream
from dialback_wire.tables import Seat

log = logging.getLogger("dialback.receiver")


class BridgeSocket(ABC):
    """See the module. `worker` is empty until the first token says whose socket this is."""

    def __init__(self, pending: PendingTable, limits: Limits, budget: Budget, worker: str = "") -> None:
        self.worker = worker
        self.on_known: Callable[[BridgeSocket], None] = lambda _: None
        """Is told when the first token says whose socket this is."""
        self._pending = pending
        self._sent: dict[str, TunnelDesk] = {}
        """Invocations that went out and whose streams were not opened yet."""
        self._begun: dict[str, TunnelDesk] = {}
        self.mux = Mux(
            Seat.INVOKER_RECEIVER,
            write=self._outlet(),
            defer=asyncio.get_running_loop().call_soon,
            on_open=self._open,
            on_error=self._on_error,
            on_declined=self._declined,
            on_done=self._done,
            limits=limits,
            budget=budget,
            agent="dialback-invoker",
        )

    @abstractmethod
    def close(self, why: str) -> None:
        """Give every stream up and hang up."""

    @abstractmethod
    def _outlet(self) -> Outlet:
        """How the mux's frames leave."""

    @abstractmethod
    def _refused(self, code: Refusal) -> None:
        """A token was refused."""

    def _open(self, stream: Stream, opened: Request | bytes) -> StreamSink:
        token = opened if isinstance(opened, bytes) else b""
        try:
            entry = self._pending.take(token, self.worker)
        except Refused as refused:
            stream.refuse(refused.code, refused.reason)
            self._refused(refused.code)
            return BaseSink()
        exchange = entry.exchange
        if (desk := self._sent.pop(exchange.request.id, None)) is not None:
            self._begun[exchange.request.id] = desk
        self.worker = entry.worker
        self.on_known(self)
        source = CallbackSource(stream, exchange)
        exchange.timeline.mark("dialed_back")
        exchange.timeline.mark("token_accepted")
        body = exchange.upload.streams
        stream.accept(body=body)
        exchange.attach(source)
        exchange.running()
        if body:
            exchange.upload.stream_into(stream)
        return source

    # --- the tunnel ---------------------------------------------------------------------------------------------------

    def invoke(self, payload: Payload, desk: TunnelDesk) -> bool:
        """Hand an invocation to the bridge; False when it cannot go this way."""
        invoke = Invoke(payload.invocation_id, payload.deadline_ms, payload.body)
        if not self.mux.takes(invoke):
            return False
        self._sent[invoke.invocation] = desk
        self.mux.invoke(invoke)
        return True

    def _declined(self, invocation: str) -> None:
        # What has begun cannot be given back: it would run twice.
        if (desk := self._sent.pop(invocation, None)) is not None:
            desk.declined(invocation)

    def _done(self, invocation: str) -> None:
        desk = self._begun.pop(invocation, None) or self._sent.pop(invocation, None)
        if desk is not None:
            desk.response(invocation, b"")

    def lost(self, why: str) -> None:
        """The carrier is gone. What was sent and had not begun cannot begin any more; the rest answers elsewhere."""
        self.mux.lost(why)
        self._begun.clear()
        while self._sent:
            invocation, desk = self._sent.popitem()
            desk.declined(invocation)

    def _on_error(self, error: Exception, stream: int) -> None:
        log.error("stream %d of %s failed: %r", stream, self.worker, error, exc_info=error)
