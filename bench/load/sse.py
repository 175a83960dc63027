"""Many quiet streams at once: nothing may be lost, and each should cost little memory."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from bench.load.connection import Connection, LoadError, Server
from bench.load.statistics import delay_figures

TOGETHER = 50
LOOK_EVERY = 0.005


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
            if made:  # 0: the server has no such clock
                self.delays.append(self.now - made)


async def listen(
    server: Server, streams: int, target: str, make: Callable[[], Listener], waiting: int = 0
) -> list[Listener]:
    """Open so many streams, some together so that no backlog overflows, and ask on each.

    With `waiting`, no more are opened as long as so many have had no event yet.
    """
    loop = asyncio.get_running_loop()
    request = server.get(target)
    listeners: list[Listener] = []
    while len(listeners) < streams:
        while waiting and sum(not listener.expected for listener in listeners[-2 * waiting :]) >= waiting:
            await asyncio.sleep(LOOK_EVERY)
            if any(listener.finished.done() for listener in listeners[-2 * waiting :]):
                return listeners  # cut, most likely: the caller says how many began
        together = min(TOGETHER, streams - len(listeners))
        batch = [loop.create_connection(make, server.host, server.port) for _ in range(together)]
        for transport, listener in await asyncio.gather(*batch):
            transport.write(request)
            listeners.append(listener)
    return listeners


async def sse(
    server: Server, streams: int, count: int, gap: float, opened: Callable[[], None], waiting: int = 0
) -> dict[str, Any]:
    """`streams` responses at once, each of `count` events, `gap` seconds apart. Calls `opened` when all have begun.

    `waiting`: how many at most have been asked for and have not begun; 0: all.
    """
    begun = 0

    def first() -> None:
        nonlocal begun
        begun += 1
        if begun == streams:
            opened()

    delays: list[int] = []
    listeners = await listen(server, streams, f"/sse?count={count}&gap={gap}", lambda: Listener(first, delays), waiting)
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
        **delay_figures(delays),
        "operations": sum(listener.expected for listener in listeners),
    }
