"""The reading end of a pipe on an event loop, whose descriptor is closed exactly once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import uvloop


async def read_pipe(protocol: Callable[[], asyncio.BaseProtocol], handle: int) -> asyncio.ReadTransport:
    """Reads from now on; ``handle`` belongs to the transport.

    uvloop closes the descriptor, and then the file that it was given, which is the same descriptor again. In between a
    thread may have been given its number for something of its own, and would lose that. So uvloop gets a file that
    closes nothing.
    """
    loop = asyncio.get_running_loop()
    file = os.fdopen(handle, "rb", 0, closefd=not isinstance(loop, uvloop.Loop))
    transport, _ = await loop.connect_read_pipe(protocol, file)
    return transport
