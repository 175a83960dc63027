"""A clock over server-sent events: a page at /, an endless stream at /events.

GET /events takes `every` (seconds between two ticks, 1) and `heartbeat` (longest silence in seconds, 10).
"""

import asyncio
import math
import time
from pathlib import Path
from urllib.parse import parse_qs

PAGE = Path(__file__).with_name("page.html").read_text("utf-8")


async def app(scope, receive, send):
    assert scope["type"] == "http"
    root = scope.get("root_path", "")  # "/@clock" when the function answers below a prefix, else ""
    path = scope["path"].removeprefix(root)
    if path in ("", "/"):
        await answer(send, 200, b"text/html; charset=utf-8", PAGE.replace("{root}", root).encode())
    elif path == "/events":
        await events(scope, receive, send)
    else:
        await answer(send, 404, b"text/plain; charset=utf-8", b"There is / and /events.\n")


async def events(scope, receive, send):
    query = parse_qs(scope["query_string"].decode("latin-1"))
    try:
        every, heartbeat = seconds(query, "every", 1.0), seconds(query, "heartbeat", 10.0)
    except ValueError as problem:
        await answer(send, 400, b"text/plain; charset=utf-8", f"{problem}\n".encode())
        return

    headers = [
        (b"content-type", b"text/event-stream"),
        # no-transform asks proxies on the way not to compress the stream: a compressor would hold events back.
        (b"cache-control", b"no-cache, no-transform"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    gone = asyncio.create_task(until_client_leaves(receive))
    try:
        tick, due = 0, time.monotonic()
        while True:
            silence = due - time.monotonic()
            if silence <= 0:
                tick, due = tick + 1, max(due + every, time.monotonic())
                event = f"id: {tick}\ndata: {time.strftime('%H:%M:%S')}\n\n"
                await send({"type": "http.response.body", "body": event.encode(), "more_body": True})
            elif await within(min(silence, heartbeat), gone):
                break
            elif silence > heartbeat:
                # A line that starts with a colon is a comment: it keeps the connection warm and no client shows it.
                await send({"type": "http.response.body", "body": b": still here\n\n", "more_body": True})
        print(f"the client left after {tick} ticks")
    finally:
        gone.cancel()


async def until_client_leaves(receive):
    while (await receive())["type"] != "http.disconnect":
        pass  # the request's body, empty here


async def within(timeout, task):
    """True when the task ended within `timeout` seconds; the task goes on otherwise."""
    done, _ = await asyncio.wait({task}, timeout=timeout)
    return bool(done)


def seconds(query, name, default):
    value = float(query.get(name, [default])[0])
    if not (math.isfinite(value) and value >= 0.001):
        raise ValueError(f"{name} must be a number of seconds, 0.001 or more")
    return value


async def answer(send, status, content_type, body):
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
