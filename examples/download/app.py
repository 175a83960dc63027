"""A large download in the memory of one block: a gigabyte unless told otherwise, and it can be resumed.

GET / takes `bytes` (1000000000). The bytes are made up, and the same ones each time: what is downloaded in two pieces,
by `Range: bytes=N-`, can be compared with what came in one.
"""

import re
from urllib.parse import parse_qs

# Small blocks cost a message each, large ones wait for their own end before they leave. See docs/streaming-well.md.
BLOCK_BYTES = 256 * 1024
BLOCK = bytes(range(256)) * (BLOCK_BYTES // 256)
MOST = 10**12


async def app(scope, receive, send):
    assert scope["type"] == "http"
    try:
        size = int(parse_qs(scope["query_string"].decode("latin-1")).get("bytes", ["1000000000"])[0])
        if not 0 <= size <= MOST:
            raise ValueError
    except ValueError:
        await answer(send, 400, f"bytes is a whole number up to {MOST}\n")
        return
    wanted = re.fullmatch(rb"bytes=(\d+)-", dict(scope["headers"]).get(b"range", b""))
    first = int(wanted[1]) if wanted else 0
    if wanted and first >= size:
        await answer(send, 416, f"there are {size} bytes\n", [(b"content-range", b"bytes */%d" % size)])
        return
    headers = [
        (b"content-type", b"application/octet-stream"),
        # With a length the client can show how far it is, and notices by itself when something is missing.
        (b"content-length", b"%d" % (size - first)),
        (b"accept-ranges", b"bytes"),
        (b"content-disposition", b'attachment; filename="big.bin"'),
    ]
    if wanted:
        headers.append((b"content-range", b"bytes %d-%d/%d" % (first, size - 1, size)))
    await send({"type": "http.response.start", "status": 206 if wanted else 200, "headers": headers})
    if scope["method"] != "HEAD":
        await send_bytes(send, first, size)
    else:
        await send({"type": "http.response.body", "body": b""})


async def send_bytes(send, first, size):
    """`send` waits while the client does not read, so no more than a window of this is ever in memory."""
    sent = first
    try:
        while sent < size:
            start = sent % BLOCK_BYTES
            block = BLOCK[start : start + size - sent]
            sent += len(block)
            await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except OSError:
        print(f"the client left; it had been given {sent - first} of {size - first} bytes")


async def answer(send, status, text, more=()):
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text)), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
