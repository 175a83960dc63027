"""What the front needs of whatever answers requests: a link to an invoker, or an invoker in the same process."""

from typing import Protocol

from dialback_wire.messages import Request
from dialback_wire.sink import StreamSink
from dialback_wire.stream import Stream


class Upstream(Protocol):
    """Answers requests, one stream each."""

    @property
    def ready(self) -> bool:
        """Whether a request could be opened now."""

    def open(self, request: Request, sink: StreamSink) -> Stream:
        """Ask. Raises UpstreamUnavailable when nobody can be asked now; never blocks, never retries."""
