"""The worker's side of an exchange in `callback` mode: the stream that the bridge opened with its token."""

from dialback_invoker.exchange import Exchange
from dialback_wire.frames import FrameType
from dialback_wire.messages import End, Fields, Head, Info, Reason, Verdict
from dialback_wire.sink import BaseSink
from dialback_wire.stream import Stream


class CallbackSource(BaseSink):
    """Brings what the bridge sends to the exchange, and the request's body to the bridge."""

    __slots__ = ("_exchange", "_stream")

    def __init__(self, stream: Stream, exchange: Exchange) -> None:
        self._stream = stream
        self._exchange = exchange
        stream.tap = tap = exchange.timeline.tap("socket", stream.id)
        tap(False, FrameType.OPEN, stream.opened_bytes)

    def consumed(self, count: int) -> None:
        """Let the bridge send as much again."""
        self._stream.consumed(count)

    def cancel(self, reason: Reason, detail: str) -> None:
        """Tell the bridge that nobody wants the rest; its END follows."""
        self._stream.cancel(reason, detail)

    def on_info(self, info: Info) -> None:
        """An interim response."""
        self._exchange.info(info)

    def on_head(self, head: Head) -> None:
        """The response's head."""
        self._exchange.head(head)

    def on_data(self, data: bytes) -> None:
        """Bytes of the response."""
        self._exchange.data(data)

    def on_trailers(self, fields: Fields) -> None:
        """Trailers of the response."""
        self._exchange.trailers(fields)

    def on_end(self, end: End) -> None:
        """The response ended."""
        self._exchange.end(end, "P" if end.verdict is Verdict.PROTOCOL else "S")

    def on_answer(self, head: Head, body: bytes) -> None:
        """The whole response."""
        self._exchange.answer(head, body)

    def on_credit(self) -> None:
        """The bridge has begun to read the request's body."""
        self._exchange.upload.wanted()

    def on_sent(self, count: int) -> None:
        """Bytes of the request's body have left for the bridge."""
        self._exchange.upload.taken(count)

    def on_lost(self, why: str) -> None:
        """The socket died under the stream: a FIN is not a success."""
        self._exchange.source_lost(why)
