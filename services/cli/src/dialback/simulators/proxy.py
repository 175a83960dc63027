"""A TCP proxy in front of an edge that makes its connections as bad as was asked for."""

from __future__ import annotations

import asyncio
import socket
import struct

from dialback.errors import cannot_listen
from dialback.simulators.buffering import Buffering
from dialback.simulators.conditions import Conditions
from dialback.simulators.lane import READ, Lane, Reset

LAST_SECONDS = 5.0
"""How long what is still on its way to clients may take when the simulator is closed."""


class Simulator:
    """`start`, then `close`; each once. `host`, `port`: where the edge listens."""

    def __init__(self, conditions: Conditions, host: str, port: int) -> None:
        self._conditions = conditions
        self._host = host
        self._port = port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; where. Raises StartProblem."""
        try:
            self._server = await asyncio.start_server(self._accepted, host, port, limit=READ)
        except OSError as error:
            raise cannot_listen(error, host, port, "--port") from error
        address = self._server.sockets[0].getsockname()
        return address[0], address[1]

    async def close(self, grace: float = LAST_SECONDS) -> None:
        """Take nothing new, let what is on its way arrive for `grace` seconds, cut the rest."""
        if self._server is None:
            return
        self._server.close()
        if self._connections:
            await asyncio.wait(self._connections, timeout=grace)
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream = await self._dial()
        except OSError:
            _reset(writer)
            return
        drop = self._conditions.drop_after
        try:
            async with asyncio.timeout(drop.seconds if drop else None):
                await self._join(reader, writer, *upstream)
                await _closed(upstream[1])
                await _closed(writer)
        except (Reset, OSError, asyncio.CancelledError):
            _reset(writer)
            _reset(upstream[1])

    async def _join(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> None:
        """Returns when the edge's last byte was written to the client. Raises Reset."""
        wanted = self._conditions
        delay = (wanted.latency or 0.0) / 2
        proxy = Buffering() if wanted.buffering_proxy else None
        writer.transport.set_write_buffer_limits(high=READ)
        asking = Lane(reader, up_writer, change=proxy.request if proxy else bytes, delay=delay)
        answering = Lane(
            up_reader,
            writer,
            change=proxy.response if proxy else bytes,
            last=proxy.end if proxy else bytes,
            delay=delay,
            rate=wanted.slow_client,
            most=wanted.drop_after.size if wanted.drop_after else None,
        )
        answer = asyncio.create_task(answering.run())
        ask = asyncio.create_task(_to_the_end(asking, up_writer))
        try:
            await asyncio.wait((answer, ask), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                ask.result()
            await answer
        finally:
            for task in (answer, ask):
                task.cancel()
            await asyncio.gather(answer, ask, return_exceptions=True)

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the edge, small enough that it notices a client who does not read."""
        family, kind, proto, _, address = (
            await asyncio.get_running_loop().getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        )[0]
        connection = socket.socket(family, kind, proto)
        try:
            connection.setblocking(False)
            if self._conditions.slow_client is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ)
            await asyncio.get_running_loop().sock_connect(connection, address)
            return await asyncio.open_connection(sock=connection, limit=READ)
        except BaseException:
            connection.close()
            raise


async def _to_the_end(asking: Lane, up_writer: asyncio.StreamWriter) -> None:
    """The client's end is passed on, and what the edge makes of it is awaited."""
    await asking.run()
    try:
        up_writer.write_eof()
    except OSError:
        raise Reset from None


async def _closed(writer: asyncio.StreamWriter) -> None:
    """What was written has left, and the connection is closed."""
    writer.close()
    await writer.wait_closed()


def _reset(writer: asyncio.StreamWriter) -> None:
    """The connection's end that no client takes for a good one: RST."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
