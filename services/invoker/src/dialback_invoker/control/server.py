"""Listens on the control port."""

from __future__ import annotations

import errno
from typing import Final

from aiohttp import web

from dialback_invoker.errors import DialbackError, PlatformFailure

SHUTDOWN: Final = 1.0
"""Seconds that answers in flight get at a stop."""


class ControlServer:
    """Serves a control application on ``host`` and ``port`` (0: a free one) from `start` to `stop`, where answers in
    flight get ``shutdown`` seconds.
    """

    def __init__(self, app: web.Application, host: str, port: int, shutdown: float = SHUTDOWN) -> None:
        self._host = host
        self._port = port
        # handler_cancellation: an asker that leaves ends its follow or its run, even while nothing is written to it.
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=shutdown, access_log=None)

    async def start(self) -> int:
        """Begin to listen; returns the port. Raises PlatformFailure naming address and port if that is not possible."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise _cannot_listen(error, self._host, self._port) from error
        self._port = int(self._runner.addresses[0][1])
        return self._port

    async def stop(self) -> None:
        """Stop listening, give answers in flight a moment, then drop them; harmless when repeated."""
        await self._runner.cleanup()


def _cannot_listen(error: OSError, host: str, port: int) -> DialbackError:
    if error.errno == errno.EADDRINUSE:
        message = f"port {port} on {host} is in use; choose another with --control-port, 0 for any"
        return PlatformFailure(message, code="port_in_use")
    return PlatformFailure(f"cannot listen on {host}:{port}: {error.strerror or error}", code="cannot_listen")
