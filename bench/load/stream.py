"""Chunks with a gap between them: when the first byte comes, how late each chunk is, which arrive on their own."""

import asyncio
import time
from typing import Any

from bench.load.connection import Connection, LoadError, Server
from bench.load.statistics import delay_figures, quantile

CHUNK = 100


class Watcher(Connection):
    """Notes each chunk's delay: its arrival minus the moment, on the machine's one monotonic clock, that it carries."""

    def __init__(self) -> None:
        super().__init__()
        self.rest = b""
        self.now = self.read = self.first = 0
        self.delays: list[int] = []
        self.reads: list[int] = []

    def data_received(self, data: bytes) -> None:
        self.now = time.monotonic_ns()
        self.read += 1
        self.feed(data)

    def on_body(self, data: bytes) -> None:
        self.first = self.first or self.now
        data = self.rest + data
        while len(data) >= CHUNK:
            if made := int(data[:19]):  # 0: the server has no such clock
                self.delays.append(self.now - made)
            self.reads.append(self.read)
            data = data[CHUNK:]
        self.rest = data


async def stream(server: Server, streams: int, count: int, gap: float) -> dict[str, Any]:
    """`streams` responses, one after another on one connection, each of `count` chunks `gap` seconds apart."""
    loop = asyncio.get_running_loop()
    request = server.get(f"/stream?count={count}&gap={gap}")
    _, watcher = await loop.create_connection(Watcher, server.host, server.port)
    await watcher.ask(server.get("/stream?count=1"))  # warm, and not counted
    firsts: list[float] = []
    delays: list[int] = []
    separate = 0
    for _ in range(streams):
        watcher.first, watcher.delays, watcher.reads = 0, [], []
        asked = time.monotonic_ns()
        await watcher.ask(request)
        if len(watcher.reads) != count or watcher.rest:
            raise LoadError(f"{count} chunks expected, {len(watcher.reads)} received")
        firsts.append(watcher.first - asked)
        delays += watcher.delays
        separate += len(set(watcher.reads))
    watcher.close()
    return {
        "first_byte_ms": quantile(firsts, 0.5) / 1e6,
        **delay_figures(delays),
        "separate": separate,
        "separate_share": separate / (streams * count),
        "chunks": streams * count,
        "operations": streams * count,
    }
