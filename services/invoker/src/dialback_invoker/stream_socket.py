"""A local bridge's socket: a Unix socket that carries the frames as they are.

Its folder's mode says who may connect, and the first token that is accepted says whose it is. A peer that shows none
in time, or shows a wrong one first, is cut off.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from dialback_invoker.bridge_socket import BridgeSocket, log
from dialback_invoker.pending import PendingTable
from dialback_wire.errors import FramingError
from dialback_wire.flow import Budget
from dialback_wire.messages import Limits, Refusal
from dialback_wire.outlet import Outlet, PartsOutlet
from dialback_wire.read_buffer import ReadBuffer

TOKEN_SECONDS = 5.0
"""A peer whose first token has not been accepted by then is cut off."""


class StreamSocket(BridgeSocket, asyncio.BufferedProtocol):
    """One connection. `on_over` is told when it is gone."""

    def __init__(
        self,
        pending: PendingTable,
        limits: Limits,
        budget: Budget,
        buffer: ReadBuffer,
        on_made: Callable[[BridgeSocket], None],
        on_over: Callable[[BridgeSocket], None],
    ) -> None:
        super().__init__(pending, limits, budget)
        self._on_made = on_made
        self._on_over = on_over
        self._transport: asyncio.Transport | None = None
        self._buffer = buffer
        self._patience: asyncio.TimerHandle | None = None
        self._proven = False
        """Whether it showed the secret of an invocation, be it of one that is over."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet, and wait a little for the first token."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._patience = asyncio.get_running_loop().call_later(TOKEN_SECONDS, self._check_token)
        self._on_made(self)
        self.mux.start()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._buffer.memory

    def buffer_updated(self, nbytes: int) -> None:
        """Frames, cut anywhere."""
        try:
            self.mux.receive(self._buffer.came(nbytes))
        except FramingError as error:
            log.warning("socket of %s closed: %s", self.worker or "a stranger", error)
            self.close(str(error))

    def pause_writing(self) -> None:
        """The bridge does not keep up."""
        self.mux.pause()

    def resume_writing(self) -> None:
        """It does again."""
        self.mux.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """The bridge is gone: a FIN is not a success."""
        if self._patience is not None:
            self._patience.cancel()
        self.lost(str(exc) if exc else "the bridge closed its socket")
        self._on_over(self)

    def close(self, why: str) -> None:
        """Give every stream up and hang up."""
        self.lost(why)
        if self._transport is not None:
            self._transport.abort()

    def _outlet(self) -> Outlet:
        return PartsOutlet(self._write)

    def _write(self, parts: list[bytes | bytearray]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(parts)

    def _refused(self, code: Refusal) -> None:
        if code is not Refusal.UNAUTHORIZED:
            # A true token that came too late: this is a bridge, and its next stream may be in time.
            self._proven = True
        elif not self._known and self._transport is not None:
            # The refusal still leaves; then the stranger may go.
            asyncio.get_running_loop().call_soon(self._hang_up)

    @property
    def _known(self) -> bool:
        return self._proven or bool(self.worker)

    def _hang_up(self) -> None:
        self.mux.flush()
        if self._transport is not None and not self._known:
            self._transport.close()

    def _check_token(self) -> None:
        if not self._known:
            self.close("no token was shown in time")
