"""Keep-alive connections to the runtime API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from .http_connection import HttpConnection, HttpGone, HttpResponse


class HttpPool:
    """Keep-alive connections to one address. As many are open as requests run at once."""

    def __init__(self, connect: Callable[[], Awaitable[HttpConnection]]) -> None:
        self._connect = connect
        self._idle: list[HttpConnection] = []

    async def request(self, method: str, path: str, headers: bytes, body: bytes = b"") -> HttpResponse:
        """As `HttpConnection.request`. Raises HttpGone.

        A kept connection that ends before a byte of the answer came was closed by the other side while it was idle; the
        request is then sent again, on a new connection.
        """
        while self._idle:
            connection = self._idle.pop()
            if not connection.reusable:
                continue
            try:
                return await self._send(connection, method, path, headers, body)
            except HttpGone as gone:
                if gone.answered:
                    raise
        try:
            connection = await self._connect()
        except OSError as error:
            raise HttpGone(f"cannot connect: {error}") from error
        return await self._send(connection, method, path, headers, body)

    async def _send(
        self, connection: HttpConnection, method: str, path: str, headers: bytes, body: bytes
    ) -> HttpResponse:
        answer = await connection.request(method, path, headers, body)
        if connection.reusable:
            self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().close()


async def connect_unix(path: str) -> HttpConnection:
    """A connection to a Unix socket. Raises OSError."""
    _, connection = await asyncio.get_running_loop().create_unix_connection(HttpConnection, path)
    return connection


async def connect_tcp(host: str, port: int) -> HttpConnection:
    """A connection to a TCP address. Raises OSError."""
    _, connection = await asyncio.get_running_loop().create_connection(HttpConnection, host, port)
    return connection
