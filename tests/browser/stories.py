"""How scripted functions run: the events of POST /v1/runs, timed as the platform would time them."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from aiohttp import web

ID = "01jx4k7w3qv8n2m5r9t0y6z1ab"
OLD, NEW = "d_older0000001", "d_newer0000002"
Json = dict[str, Any]


@dataclass
class Run:
    """One POST /v1/runs: `request` as the page sent it, and its event stream."""

    request: Json
    response: web.StreamResponse
    started: float = field(default_factory=time.perf_counter)

    @property
    def now(self) -> float:
        """Milliseconds since the run began."""
        return (time.perf_counter() - self.started) * 1000

    async def send(self, event: str, **data: Any) -> None:
        await self.response.write(f"event: {event}\ndata: {json.dumps(data)}\n\n".encode())

    async def frame(self, hop: str, direction: str, type: str, size: int = 0) -> None:
        await self.send("frame", t_ms=self.now, hop=hop, direction=direction, type=type, size=size)

    async def chunk(self, text: str) -> None:
        await self.send("chunk", t_ms=self.now, size=len(text.encode()), text=text)

    async def end(self, ok: bool = True, error: str | None = None) -> None:
        await self.send("end", t_ms=self.now, ok=ok, error=error, id=ID)


Story = Callable[[Run], Awaitable[None]]


def streams(chunks: list[str], every: float, before: float = 0.03, status: int = 200) -> Story:
    """A function that makes `chunks`, one each `every` seconds, the first after `before` seconds."""

    async def story(run: Run) -> None:
        callback = run.request["mode"] != "buffered"
        marks = [("received", 0.0)]
        times = []
        await run.frame("link", "down", "OPEN", 412)
        marks.append(("admitted", run.now))
        await run.frame("runtime", "down", "next", 1380)
        marks.append(("payload_handed", run.now))
        if callback:
            marks.append(("dialed_back", run.now))
            await run.frame("socket", "up", "OPEN", 61)
            marks.append(("token_accepted", run.now))
            await run.frame("socket", "down", "ACCEPT", 34)
        for index, text in enumerate(chunks):
            await asyncio.sleep(every if index else before)
            if not callback:
                continue
            if index == 0:
                marks.append(("head", run.now))
                for hop in ("socket", "link"):
                    await run.frame(hop, "up", "HEAD", 96)
                await run.send("head", t_ms=run.now, status=status, headers=[["content-type", "text/event-stream"]])
                marks.append(("first_byte", run.now))
            for hop in ("socket", "link"):
                await run.frame(hop, "up", "DATA", len(text))
            await run.chunk(text)
            times.append(run.now)
        if callback:
            marks.append(("last_byte", run.now))
            await run.frame("socket", "up", "END", 14)
            await run.frame("runtime", "up", "response", 44)
        else:
            whole = "".join(chunks)
            marks.append(("runtime_answered", run.now))
            await run.frame("runtime", "up", "response", len(whole))
            marks.append(("head", run.now))
            await run.frame("link", "up", "HEAD", 96)
            await run.send("head", t_ms=run.now, status=status, headers={"Content-Type": "text/event-stream"})
            marks.append(("first_byte", run.now))
            await run.frame("link", "up", "DATA", len(whole))
            await run.chunk(whole)
            times.append(run.now)
            marks.append(("last_byte", run.now))
        await run.frame("link", "up", "END", 14)
        marks.append(("end", run.now))
        await run.end()
        await run.send("trace", **trace(run, marks, times, status))

    return story


def trace(run: Run, marks: list[tuple[str, float]], times: list[float], status: int) -> Json:
    gaps = [b - a for a, b in pairwise(times)]
    bounds = [1, 2, 5, 10, 20, 50, 100, 200, 500]
    bins = [sum(low < gap <= high for gap in gaps) for low, high in zip([0, *bounds], bounds, strict=False)]
    mode = run.request["mode"]
    stamp = {
        "version": 1,
        "invocation": ID,
        "url": "ws://127.0.0.1:8082/callback/v1",
        "token": "db1_\u2026",
        "body": "none",
    }
    return invocation(run.request["function"], mode) | {
        "path": run.request["path"],
        "method": run.request["method"],
        "status": status,
        "chunks": len(times),
        "marks": [{"name": name, "t": t} for name, t in marks],
        "gaps": {
            "first": gaps[:3],
            "last": gaps[-3:],
            "histogram": [{"le_ms": bound, "count": count} for bound, count in zip(bounds, bins, strict=True)],
        },
        "blocked": {"client_ms": 0.0, "worker_ms": 0.2},
        "payload": {"version": "2.0", "rawPath": run.request["path"]}
        | ({"dialback": stamp} if mode != "buffered" else {}),
        "frames": [{"t": t, "hop": "link", "direction": "up", "stream": 1, "type": "DATA", "size": 30} for t in times],
        "frames_dropped": 0,
    }


def invocation(function: str, mode: str = "callback", **other: Any) -> Json:
    return {
        "id": ID,
        "function": function,
        "deployment": "9f2c41d07be3",
        "mode": mode,
        "method": "GET",
        "path": "/",
        "received_at": time.time() - 4,
        "worker": "w_7q2m",
        "cold": False,
        "status": 200,
        "verdict": "ok",
        "cause": "function",
        "code": "--",
        "detail": "",
        "bytes_in": 0,
        "bytes_out": 412,
        "chunks": 12,
        "error": "",
        "first_byte_ms": 31.0,
        "total_ms": 1240.0,
    } | other


def deployment(identity: str, active: bool) -> Json:
    about = {"deployment": identity, "name": "words", "kind": "asgi", "entry": "app:app", "mode": "callback"}
    return about | {"bundle": "ab" * 32, "created_at": time.time() - 300, "active": active}


def recorded(identity: str, deployment: str, first: float, end: float, **request: Any) -> Json:
    """A whole trace with its request."""
    run = Run({"function": "words", "mode": "callback", "method": "POST", "path": "/@words/a"}, None)  # type: ignore[arg-type]
    marks = [("received", 0.0), ("admitted", 0.4), ("head", first - 1), ("first_byte", first), ("end", end)]
    record = {"method": "POST", "target": "/@words/a?q=1", "authority": "127.0.0.1", "headers": [["accept", "*/*"]]}
    record |= {"left_out": ["authorization"], "body_kept": True, "body_bytes": 4, "body": "body", "base64": False}
    found = trace(run, marks, [first, first + 200, end], 200)
    return found | {
        "id": identity, "deployment": deployment, "first_byte_ms": first, "total_ms": end, "request": record | request,
    }  # fmt: skip


def replayed(before: Json, after: Json) -> Story:
    """A replay as the platform tells it."""

    async def story(run: Run) -> None:
        left_out = [] if run.request["headers"] else ["authorization"]
        plan = {"original": before, "deployment": run.request["deployment"], "active": False, "left_out": left_out}
        await run.send("plan", **plan, mode=run.request["mode"])
        await run.frame("link", "down", "OPEN", 300)
        await run.send("head", t_ms=10, status=200, headers=[])
        await run.chunk("one ")
        await run.chunk("two")
        await run.end()
        await run.send("trace", **after)
        measures = {
            "status": {"before": 200, "after": 200},
            "verdict": {"before": "ok", "after": "ok"},
            "first_byte_ms": {"before": 300.0, "after": 30.0, "difference": -270.0},
            "total_ms": {"before": 900.0, "after": 1000.0, "difference": 100.0},
            "bytes_out": {"before": 412, "after": 7},
        }
        await run.send("comparison", measures=measures, body="different")

    return story
