"""The link of the all-in-one platform: edge and invoker joined in memory."""

import asyncio

from dialback_edge.errors import UpstreamUnavailable
from dialback_invoker.service import InvokerService
from dialback_wire import memory
from dialback_wire.errors import LocalError
from dialback_wire.messages import Request
from dialback_wire.mux import Mux
from dialback_wire.sink import StreamSink
from dialback_wire.stream import Stream
from dialback_wire.tables import Seat


class MemoryLink:
    """An edge's upstream whose invoker is in the same process."""

    def __init__(self, invoker: InvokerService) -> None:
        defer = asyncio.get_running_loop().call_soon
        self._mux, _ = memory.join(lambda outlet: Mux(Seat.EDGE, write=outlet, defer=defer), invoker.join_link, defer)

    @property
    def ready(self) -> bool:
        """Whether a request could be opened now."""
        return self._mux.ready and not self._mux.going_away

    def open(self, request: Request, sink: StreamSink) -> Stream:
        """Ask the invoker. Raises UpstreamUnavailable once it is stopping."""
        if self.ready:
            try:
                return self._mux.open_request(request, sink)
            except LocalError as error:
                raise UpstreamUnavailable(str(error)) from error
        raise UpstreamUnavailable("The platform is stopping.")
