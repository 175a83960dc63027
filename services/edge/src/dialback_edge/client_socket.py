"""What can be done to a client's socket: write, hold back, tell whether it is stuck or left, and the ways to end it."""

import asyncio
from enum import Enum
from typing import cast

from .forwarded import Peer
from .outgoing import Outgoing
from .presence import SocketLike, close_with_reset, has_left, unsent
from .settings import EdgeSettings
from .write_stall import WriteStall


class Hold(Enum):
    """Why reading from a client is paused."""

    __hash__ = object.__hash__  # in C; Enum's own is a Python function

    UPLOAD = "the upstream does not take the body"
    PIPELINE = "enough was read ahead"


_NONE: frozenset[Hold] = frozenset()
"""One for all: each empty set would take 216 bytes."""


class ClientSocket:
    """A transport, with what the edge must know about it."""

    __slots__ = ("_holds", "_out", "_stall", "_transport", "local_authority", "peer")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: asyncio.BaseTransport, settings: EdgeSettings
    ) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._out = Outgoing(loop, self._transport)
        self._stall = WriteStall(settings.timeouts.write_stall)
        self._holds = _NONE
        self._transport.set_write_buffer_limits(settings.limits.write_buffer, settings.limits.write_buffer // 4)
        self.peer = Peer(_address(transport, "peername"), settings.trusted_proxies)
        host, port = _address(transport, "sockname")
        self.local_authority = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode()
        """The address that the client reached."""

    def write(self, data: bytes) -> None:
        """Bytes for the client, in order. Nothing happens when it is gone."""
        if data:
            self._out.write(data)

    def send(self, data: bytes) -> None:
        """Bytes for the client, handed to the transport now."""
        self._out.send(data)

    def flush(self) -> None:
        """Hand what was written to the transport now."""
        self._out.flush()

    # --- reading ------------------------------------------------------------------------------------------------------

    @property
    def held(self) -> bool:
        """Whether reading is paused."""
        return bool(self._holds)

    def holds(self, why: Hold) -> bool:
        """Whether reading is paused for this reason."""
        return why in self._holds

    def hold(self, why: Hold) -> None:
        """Read no more until every reason is released."""
        if not self._holds and not self._transport.is_closing():
            self._transport.pause_reading()
        self._holds |= {why}

    def release(self, why: Hold) -> None:
        """This reason to pause is gone."""
        if why in self._holds:
            self._holds = self._holds - {why} or _NONE
            if not self._holds and not self._transport.is_closing():
                self._transport.resume_reading()

    # --- looking ------------------------------------------------------------------------------------------------------

    def is_stalled(self, now: float) -> bool:
        """Whether the client has taken nothing for the write-stall limit while bytes wait for it."""
        waiting = self._transport.get_write_buffer_size()
        if waiting:
            # What the kernel holds counts as waiting too: its buffer may take megabytes, and wakes us seldom.
            waiting += unsent(self._socket())
        return self._stall.check(now, self._out.written, waiting)

    def has_left(self) -> bool:
        """Whether the client has closed or reset its side, seen also while reading is paused."""
        return has_left(self._socket())

    def all_arrived(self) -> bool:
        """Whether the client's kernel has everything that was written."""
        return not self._transport.get_write_buffer_size() and not unsent(self._socket())

    # --- ending -------------------------------------------------------------------------------------------------------

    def send_fin(self) -> None:
        """FIN behind what was written; reading goes on."""
        self._out.flush()
        for why in self._holds:
            self.release(why)
        if not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        """Read no more, let what was written leave, then close."""
        self._out.flush()
        self._transport.close()

    def abort(self) -> None:
        """Close now, with RST."""
        self._out.drop()
        close_with_reset(self._socket())
        self._transport.abort()

    def _socket(self) -> SocketLike:
        return cast(SocketLike, self._transport.get_extra_info("socket"))


def _address(transport: asyncio.BaseTransport, which: str) -> tuple[str, int]:
    address = transport.get_extra_info(which)
    return (str(address[0]), int(address[1])) if isinstance(address, tuple) else ("0.0.0.0", 0)
