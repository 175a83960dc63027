"""Sends marked chunks for `dialback check`: each says its number, when it was sent, and what its bytes add up to.

GET /?chunks=10&gap_ms=100&size=100&type=text/plain
"""

import asyncio
import base64
import os
import time
import zlib
from urllib.parse import parse_qs

TYPES = ("text/plain", "text/event-stream", "application/x-ndjson", "text/html", "application/octet-stream")


def number(query, name, default, most):
    try:
        return min(most, max(1, int(query[name][0])))
    except (KeyError, ValueError):
        return default


def mark(index, count, size):
    text = f"dialback-mark {index}/{count} {time.time():.6f} "
    # Random, so that what compresses on the way cannot hide how much it holds back.
    text += base64.b64encode(os.urandom(size))[: max(1, size - len(text) - 10)].decode()
    return f"{text} {zlib.crc32(text.encode()):08x}"


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    query = parse_qs(scope["query_string"].decode("latin-1"))
    count, gap = number(query, "chunks", 10, 1000), number(query, "gap_ms", 100, 5000)
    size, kind = number(query, "size", 100, 65536), query.get("type", TYPES)[0]
    kind = kind if kind in TYPES else TYPES[0]
    before, after = ("data: ", "\n\n") if kind == "text/event-stream" else ("", "\n")
    headers = [
        (b"content-type", kind.encode()),
        (b"cache-control", b"no-cache, no-transform"),
        (b"dialback-probe", b"1"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for index in range(1, count + 1):
        chunk = before + mark(index, count, size) + after
        await send({"type": "http.response.body", "body": chunk.encode(), "more_body": index < count})
        if index < count:
            await asyncio.sleep(gap / 1000)
