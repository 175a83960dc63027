"""One bridge's socket at the receiver: what both carriers have in common.

A socket belongs to one worker, and opens only invocations that were given to that worker.
"""

import asyncio
import logging
from abc import ABC, abstractmethod

from dialback_invoker.callback import CallbackSource
from dialback_invoker.pending import PendingTable, Refused
from dialback_wire.flow import Budget
from dialback_wire.messages import Limits, Refusal, Request
from dialback_wire.mux import Mux
from dialback_wire.sink import BaseSink, StreamSink
from dialback_wire.stream import Stream
from dialback_wire.tables import Seat

log = logging.getLogger("dialback.receiver")


class BridgeSocket(ABC):
    """See the module. `worker` is empty until the first token says whose socket this is."""

    def __init__(self, pending: PendingTable, limits: Limits, budget: Budget, worker: str = "") -> None:
        self.worker = worker
        self._pending = pending
        self.mux = Mux(
            Seat.INVOKER_RECEIVER,
            write=self._write,
            defer=asyncio.get_running_loop().call_soon,
            on_open=self._open,
            on_error=self._on_error,
            limits=limits,
            budget=budget,
            agent="dialback-invoker",
        )

    @abstractmethod
    def close(self, why: str) -> None:
        """Give every stream up and hang up."""

    @abstractmethod
    def _write(self, data: bytes) -> None:
        """Send bytes of the mux."""

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
        self.worker = entry.worker
        exchange = entry.exchange
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

    def _on_error(self, error: Exception, stream: int) -> None:
        log.error("stream %d of %s failed: %r", stream, self.worker, error, exc_info=error)
