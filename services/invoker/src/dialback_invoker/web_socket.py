"""A bridge's socket over TCP: a WebSocket, served by aiohttp, whose upgrade request was checked already."""

import asyncio

from aiohttp import WSMsgType, web

from dialback_invoker.bridge_socket import BridgeSocket, log
from dialback_invoker.pending import PendingTable
from dialback_wire.errors import FramingError
from dialback_wire.flow import Budget
from dialback_wire.messages import Limits, Refusal
from dialback_wire.outlet import ByteOutlet, Outlet

FRAMING_ERROR = 1002
"""Close code for bytes that are no frames (RFC 6455, 7.4.1: protocol error)."""


class WebSocket(BridgeSocket):
    """One upgraded request."""

    def __init__(
        self, response: web.WebSocketResponse, worker: str, pending: PendingTable, limits: Limits, budget: Budget
    ) -> None:
        super().__init__(pending, limits, budget, worker)
        self._response = response
        self._outgoing: bytes | None = None
        self._wake = asyncio.Event()
        self._closing = ""

    async def run(self) -> None:
        """Carry the socket until either side closes it."""
        writer = asyncio.create_task(self._send())
        self.mux.start()
        why = "the bridge closed its socket"
        try:
            async for message in self._response:
                if message.type is not WSMsgType.BINARY:
                    raise FramingError(f"a {message.type.name} message")
                self.mux.receive(message.data)
        except FramingError as error:
            why = str(error)
            log.warning("socket of %s closed: %s", self.worker, why)
            await self._response.close(code=FRAMING_ERROR, message=why.encode()[:100])
        finally:
            self.lost(self._closing or why)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    def close(self, why: str) -> None:
        """Give every stream up and hang up."""
        self._closing = why
        self.lost(why)
        self._wake.set()

    def _refused(self, code: Refusal) -> None:
        """Its upgrade request was in order; one wrong token on it ends nothing but its own stream."""

    def _outlet(self) -> Outlet:
        return ByteOutlet(self._write)

    def _write(self, data: bytes) -> None:
        # aiohttp sends by coroutine: one write is under way at a time, and the mux is held back meanwhile.
        self._outgoing = data
        self.mux.pause()
        self._wake.set()

    async def _send(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._closing:
                await self._response.close()
                return
            data, self._outgoing = self._outgoing, None
            if data is not None:
                try:
                    await self._response.send_bytes(data)
                except ConnectionError as error:
                    self.lost(f"the bridge's socket broke: {error}")
                    return
                self.mux.resume()
