"""Small requests while many streams run, against the same requests while nothing else does."""

import asyncio
from typing import Any

from bench.load.connection import LoadError, Server
from bench.load.hello import hello
from bench.load.sse import Listener, listen

WARM = 0.3
"""Seconds of each half that do not count."""


async def mixed(server: Server, streams: int, gap: float, seconds: float) -> dict[str, Any]:
    """One client asks again and again: first alone, then beside `streams` streams with an event every `gap` seconds."""
    alone = await hello(server, clients=1, seconds=seconds, warm=WARM)
    all_begun, begun = asyncio.Event(), 0

    def first() -> None:
        nonlocal begun
        begun += 1
        if begun == streams:
            all_begun.set()

    delays: list[int] = []
    target = f"/sse?count={10**9}&gap={gap}"  # they are left, not read to their end
    listeners = await listen(server, streams, target, lambda: Listener(first, delays))
    await all_begun.wait()
    beside = await hello(server, clients=1, seconds=seconds, warm=WARM)
    broken = [listener for listener in listeners if listener.finished.done()]
    events = sum(listener.expected for listener in listeners)
    for listener in listeners:
        listener.close()
    if broken or any(listener.lost for listener in listeners):
        raise LoadError(f"{len(broken)} streams were cut, {sum(one.lost for one in listeners)} events lost")
    return {
        "times": beside["p99_ms"] / alone["p99_ms"],
        "idle_p99_ms": alone["p99_ms"],
        "mixed_p99_ms": beside["p99_ms"],
        "idle_p50_ms": alone["p50_ms"],
        "mixed_p50_ms": beside["p50_ms"],
        "events": events,
        "operations": alone["operations"] + beside["operations"],
    }
