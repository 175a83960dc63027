"""Much data, in either direction, over one connection."""

import asyncio
import time
from typing import Any

from bench.load.connection import LoadError, Reader, Server

BLOCK = bytes(1 << 18)


async def download(server: Server, target: str, size: int, pieces: int) -> dict[str, Any]:
    """GET `target`, which answers `size` bytes in `pieces` chunks. MB are 10^6 bytes."""
    loop = asyncio.get_running_loop()
    _, reader = await loop.create_connection(Reader, server.host, server.port)
    start = time.perf_counter()
    await reader.ask(server.get(target))
    seconds = time.perf_counter() - start
    reader.close()
    if reader.received != size:
        raise LoadError(f"{size} bytes expected, {reader.received} received")
    return {"mb_per_s": size / seconds / 1e6, "chunks_per_s": pieces / seconds, "operations": pieces}


class Sender(Reader):
    """Writes `size` bytes behind a request's head, as fast as the transport takes them."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.left = size
        self.paused = False
        self.answer = b""

    def on_body(self, data: bytes) -> None:
        self.answer += data

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.push()

    def push(self) -> None:
        while self.left and not self.paused and not self.finished.done():
            block = BLOCK if self.left >= len(BLOCK) else BLOCK[: self.left]
            self.left -= len(block)
            self.transport.write(block)


async def upload(server: Server, size: int) -> dict[str, Any]:
    """POST `size` bytes with a Content-Length; the answer says how many the function has read."""
    loop = asyncio.get_running_loop()
    _, sender = await loop.create_connection(lambda: Sender(size), server.host, server.port)
    sender.transport.set_write_buffer_limits(high=1 << 20)
    start = time.perf_counter()
    sender.transport.write(server.post("/sink", size))
    sender.push()
    await sender.finished
    seconds = time.perf_counter() - start
    sender.close()
    if sender.answer != b'{"received": %d}' % size:
        raise LoadError(f"the function says {sender.answer!r} after {size} bytes")
    return {"mb_per_s": size / seconds / 1e6, "operations": size // 1_000_000}
