"""Many quiet streams at once: nothing may be lost, and each should cost little memory."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from bench.load.connection import Connection, LoadError, Server
from bench.load.statistics import quantile

TOGETHER = 50


class Listener(Connection):
    """Reads events; each carries its number and the moment it was made. Calls `first` at the first one."""

    def __init__(self, first: Callable[[], None], delays: list[int]) -> None:
        super().__init__()
        self.first, self.delays = first, delays
        self.rest = b""
        self.expected = 0
        self.lost = 0
        self.now = 0

    def data_received(self, data: bytes) -> None:
        self.now = time.monotonic_ns()
        self.feed(data)

    def on_body(self, data: bytes) -> None:
        *events, self.rest = (self.rest + data).split(b"\n\n")
        for event in events:
            number, made = (int(line.partition(b": ")[2]) for line in event.split(b"\n"))
            if number == 0:
                self.first()
            self.lost += number - self.expected
            self.expected = number + 1
            self.delays.append(self.now - made)


async def sse(server: Server, streams: int, count: int, gap: float, opened: Callable[[], None]) -> dict[str, Any]:
    """`streams` responses at once, each of `count` events, `gap` seconds apart. Calls `opened` when all have begun."""
    loop = asyncio.get_running_loop()
    begun = 0

    def first() -> None:
        nonlocal begun
        begun += 1
        if begun == streams:
            opened()

    request = server.get(f"/sse?count={count}&gap={gap}")
    delays: list[int] = []
    listeners: list[Listener] = []
    while len(listeners) < streams:
        batch = [
            loop.create_connection(lambda: Listener(first, delays), server.host, server.port)
            for _ in range(min(TOGETHER, streams - len(listeners)))
        ]
        for transport, listener in await asyncio.gather(*batch):
            transport.write(request)
            listeners.append(listener)
    results = await asyncio.gather(*(listener.finished for listener in listeners), return_exceptions=True)
    broken = [result for result in results if result is not None]
    lost = sum(listener.lost + count - listener.expected for listener in listeners)
    for listener in listeners:
        listener.close()
    if begun < streams:
        raise LoadError(f"{begun} of {streams} streams began; the first to break: {broken[:1]}")
    return {
        "lost": lost,
        "broken": len(broken),
        "delay_ms": quantile(delays, 0.5) / 1e6,
        "delay_p99_ms": quantile(delays, 0.99) / 1e6,
        "operations": len(delays),
    }
