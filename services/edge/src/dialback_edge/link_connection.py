"""One socket of the link: carries a mux's frames, pings over TCP, says when it is over."""

import asyncio
import logging
import os
from collections.abc import Callable
from typing import cast

from dialback_wire.errors import FramingError
from dialback_wire.mux import Mux
from dialback_wire.outlet import PartsOutlet
from dialback_wire.proof import NONCE_BYTES
from dialback_wire.read_buffer import ReadBuffer
from dialback_wire.tables import Seat

from .settings import LinkSettings

_WRITE_BUFFER = 512 * 1024
_PING = b"edge"
_log = logging.getLogger("dialback.edge.link")


class LinkConnection(asyncio.BufferedProtocol):
    """The carrier of one mux."""

    def __init__(self, loop: asyncio.AbstractEventLoop, key: bytes | None, settings: LinkSettings, agent: str) -> None:
        self.settled = asyncio.Event()
        """The greeting is done, or the connection is gone."""
        self.over = asyncio.Event()
        """No new stream can be opened here."""
        self.gone = asyncio.Event()
        """The connection is closed."""
        self.on_gone: Callable[[LinkConnection], None] | None = None
        self.why = ""
        self.mux = Mux(
            Seat.EDGE,
            write=PartsOutlet(self._write),
            defer=loop.call_soon,
            on_ready=self.settled.set,
            on_error=self._report,
            on_pong=self._pong,
            on_going_away=self.retire,
            key=key,
            nonce=os.urandom(NONCE_BYTES) if key is not None else b"",
            agent=agent,
        )
        self._loop = loop
        self._ping_interval = settings.ping_interval if settings.path is None else 0.0
        self._ping_missed = settings.ping_missed
        self._unanswered = 0
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._buffer = ReadBuffer()

    @property
    def usable(self) -> bool:
        """Whether a stream may be opened."""
        return self.mux.ready and not self.over.is_set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected: greet."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(_WRITE_BUFFER)
        self.mux.start()
        if self._ping_interval:
            self._timer = self._loop.call_later(self._ping_interval, self._ping)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._buffer.memory

    def buffer_updated(self, nbytes: int) -> None:
        """Frames, cut anywhere."""
        try:
            self.mux.receive(self._buffer.came(nbytes))
        except FramingError as error:
            self.close(str(error))
        else:
            self._close_if_done()

    def pause_writing(self) -> None:
        """The invoker reads more slowly than we write."""
        self.mux.pause()

    def resume_writing(self) -> None:
        """There is room again."""
        self.mux.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone. Every stream hears of it."""
        self._end(str(exc) if exc else "the invoker closed the link")
        self.gone.set()
        if self.on_gone is not None:
            self.on_gone(self)

    def retire(self, reason: str) -> None:
        """Open no more streams here; close when the last one has ended."""
        self.why = self.why or reason
        self.over.set()
        self._close_if_done()

    def close(self, why: str) -> None:
        """Close now."""
        self._end(why)
        if self._transport is None:
            self.gone.set()
        else:
            self._transport.abort()

    def _end(self, why: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.why = self.why or why
        self.mux.lost(why)
        self.over.set()
        self.settled.set()

    def _close_if_done(self) -> None:
        if self.over.is_set() and not self.mux.streams and self._transport is not None:
            self._transport.close()

    def _write(self, parts: list[bytes | bytearray]) -> None:
        # Under uvloop a write to a closed transport raises, and would take every stream's callback with it.
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(parts)

    def _ping(self) -> None:
        if self._unanswered >= self._ping_missed:
            self.close(f"{self._unanswered} pings were not answered")
            return
        self._unanswered += 1
        self.mux.ping(_PING)
        self._timer = self._loop.call_later(self._ping_interval, self._ping)

    def _pong(self, payload: bytes) -> None:
        self._unanswered = 0

    def _report(self, error: Exception, stream: int) -> None:
        _log.error("stream %d of the link failed at the edge", stream, exc_info=error)
