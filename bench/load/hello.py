"""Small whole answers, as many as each client gets by asking again at once."""

import asyncio
import time
from typing import Any

from bench.load.connection import Connection, LoadError, Server
from bench.load.statistics import quantile


class Asker(Connection):
    """Asks again as soon as it is answered, until `until`; keeps the latency of what was answered after `since`."""

    def __init__(self, request: bytes, since: float, until: float, latencies: list[float]) -> None:
        super().__init__()
        self.request, self.since, self.until, self.latencies = request, since, until, latencies
        self.length = 0
        self.sent = 0.0

    def start(self) -> None:
        self.sent = time.perf_counter()
        self.transport.write(self.request)

    def on_body(self, data: bytes) -> None:
        self.length += len(data)

    def completed(self) -> None:
        now = time.perf_counter()
        if self.length != 12:
            raise LoadError(f"12 bytes expected, {self.length} received")
        if now >= self.until:
            self.finish()
            return
        if now >= self.since:
            self.latencies.append(now - self.sent)
        self.length = 0
        self.sent = now
        self.transport.write(self.request)


async def hello(server: Server, clients: int, seconds: float, warm: float) -> dict[str, Any]:
    """Requests a second over `seconds`, after `warm` seconds that do not count."""
    loop = asyncio.get_running_loop()
    since = time.perf_counter() + warm
    latencies: list[float] = []
    askers = []
    for _ in range(clients):
        _, asker = await loop.create_connection(
            lambda: Asker(server.get("/hello"), since, since + seconds, latencies), server.host, server.port
        )
        askers.append(asker)
    for asker in askers:
        asker.start()
    await asyncio.gather(*(asker.finished for asker in askers))
    for asker in askers:
        asker.close()
    return {
        "rate": len(latencies) / seconds,
        "p50_ms": quantile(latencies, 0.5) * 1e3,
        "p99_ms": quantile(latencies, 0.99) * 1e3,
        "operations": len(latencies),
    }
