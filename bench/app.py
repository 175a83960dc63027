"""The function that every server of the benchmark serves: one ASGI app, all workloads, no dependencies.

GET  /hello                             12 bytes
GET  /stream?count=10&gap=0.02          chunks of 100 bytes, each with the moment it was made (monotonic nanoseconds)
GET  /bulk?bytes=N&chunk=65536          N bytes in chunks, as fast as they are taken
GET  /tiny?count=100000&size=64         many small chunks, as fast as they are taken
GET  /tiny?count=100000&size=64&turn=1  the same, one chunk a turn of the event loop
GET  /sse?count=10&gap=1                server-sent events: number and moment
POST /sink?hash=0                       reads the body, answers {"received": N}, with "sha256" when hash=1
"""

import asyncio
import hashlib
import json
import time
from urllib.parse import parse_qsl

BLOCK = bytes(1 << 20)


async def app(scope, receive, send):
    assert scope["type"] == "http"
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
    if path == "/hello":
        await whole(send, 200, b"text/plain", b"Hello world\n")
    elif path == "/stream":
        await stream(send, int(query.get("count", 10)), float(query.get("gap", 0.02)))
    elif path == "/bulk":
        await chunks(send, int(query.get("bytes", 1 << 28)), int(query.get("chunk", 65536)))
    elif path == "/tiny":
        size = int(query.get("size", 64))
        await chunks(send, int(query.get("count", 100_000)) * size, size, turn=query.get("turn") == "1")
    elif path == "/sse":
        await events(send, int(query.get("count", 10)), float(query.get("gap", 1)))
    elif path == "/sink":
        await sink(receive, send, query.get("hash") == "1")
    else:
        await whole(send, 404, b"text/plain", b"no such workload\n")


async def stream(send, count, gap):
    await start(send, b"application/octet-stream")
    for number in range(count):
        if number:
            await asyncio.sleep(gap)  # never less, even when we are late: two chunks made at once would come at once
        chunk = b"%19d\n" % time.monotonic_ns() + bytes(80)
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def chunks(send, total, size, turn=False):
    await start(send, b"application/octet-stream")
    chunk = BLOCK[:size]
    message = {"type": "http.response.body", "body": chunk, "more_body": True}
    for _ in range(total // size):
        await send(message)
        if turn:
            await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": chunk[: total % size]})


async def events(send, count, gap):
    await start(send, b"text/event-stream")
    due = time.monotonic()
    for number in range(count):
        if number:
            due += gap
            await asyncio.sleep(due - time.monotonic())
        event = b"id: %d\ndata: %d\n\n" % (number, time.monotonic_ns())
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def sink(receive, send, hashed):
    digest, received, more = hashlib.sha256(), 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        received += len(body)
        if hashed:
            digest.update(body)
    answer = {"received": received}
    if hashed:
        answer["sha256"] = digest.hexdigest()
    await whole(send, 200, b"application/json", json.dumps(answer).encode())


async def start(send, content_type):
    headers = [(b"content-type", content_type), (b"cache-control", b"no-cache, no-transform")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def whole(send, status, content_type, body):
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
