"""An ASGI function that does whatever a test needs to see, and leaves evidence in files.

The path says what to do, the query how. Evidence is a line in a file of the folder EVIDENCE, one file a tag; in a
container, whose files nobody sees, it is a line that is printed.
"""

import asyncio
import hashlib
import os
import time
from pathlib import Path
from urllib.parse import parse_qs

EVIDENCE = Path(os.environ["EVIDENCE"])
PRINTED = "EVIDENCE_IS_PRINTED" in os.environ
BLOCK = bytes(range(256)) * 256


def note(tag, text):
    if PRINTED:
        print(f"note {tag} {text}")
        return
    with open(EVIDENCE / tag, "a") as file:
        file.write(text + "\n")


class Request:
    def __init__(self, scope, receive, send):
        query = parse_qs(scope["query_string"].decode())
        self.scope, self.receive, self.send = scope, receive, send
        self.query = {name: values[0] for name, values in query.items()}
        self.tag = self.query.get("tag", "untagged")

    def number(self, name, default):
        return float(self.query.get(name, default))

    async def head(self, status=200, headers=()):
        await self.send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def write(self, data, more=True):
        await self.send({"type": "http.response.body", "body": data, "more_body": more})

    async def answer(self, body, status=200):
        await self.head(status, [(b"content-length", str(len(body)).encode())])
        await self.write(body, more=False)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    request = Request(scope, receive, send)
    note(request.tag, "called")
    await ROUTES[scope["path"].removeprefix(scope["root_path"])](request)


async def hello(request):
    await request.answer(b"Hello world\n")


async def pid(request):
    await request.answer(str(os.getpid()).encode())


async def wait_then_answer(request):
    """No head for `seconds`."""
    await asyncio.sleep(request.number("seconds", 3600))
    await request.answer(b"late\n")


async def stream(request):
    """`n` numbered lines, `gap` seconds apart; then does `then`."""
    await request.head(200, [(b"content-type", b"text/plain")])
    for number in range(int(request.number("n", 5))):
        await request.write(f"line {number}\n".encode())
        await asyncio.sleep(request.number("gap", 0.02))
    then = request.query.get("then", "end")
    if then == "raise":
        raise RuntimeError("the function failed in mid-stream")
    if then == "exit":
        os._exit(3)
    if then == "hoard":
        bytearray(1 << 30)
    if then == "hang":
        await asyncio.sleep(3600)
    await request.write(b"", more=False)


async def bulk(request):
    """`mb` MB in blocks of 64 KiB; notes how far it came and its own size."""
    blocks = int(request.number("mb", 1) * 16)
    await request.head(200, [(b"content-length", str(blocks * len(BLOCK)).encode())])
    for number in range(blocks):
        await request.write(BLOCK)
        (EVIDENCE / f"{request.tag}.progress").write_text(str(number + 1))
    await request.write(b"", more=False)


async def fails(request):
    raise RuntimeError("the function failed before its head")


async def exits(request):
    os._exit(int(request.number("code", 7)))


async def short(request):
    """Promises more than it sends."""
    await request.head(200, [(b"content-length", b"1000")])
    await request.write(b"ten bytes.", more=False)


async def long(request):
    """Sends more than it promises."""
    await request.head(200, [(b"content-length", b"5")])
    await request.write(b"x" * 500_000)
    await request.write(b"", more=False)


async def watch(request):
    """Streams for ever, or with head=0 never begins; notes how it learns that the client left."""
    try:
        if request.query.get("head", "1") == "1":
            await request.head(200, [(b"content-type", b"text/plain")])
            await request.write(b"here\n")
        note(request.tag, "waiting")
        while True:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                note(request.tag, f"disconnect {time.monotonic()}")
                return
    finally:
        note(request.tag, f"finally {time.monotonic()}")


async def deaf(request):
    """Never asks; only its cancellation ends it."""
    await request.head(200, [(b"content-type", b"text/plain")])
    await request.write(b"here\n")
    note(request.tag, "waiting")
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        note(request.tag, "cancelled")
        raise
    finally:
        note(request.tag, f"finally {time.monotonic()}")


async def upload(request):
    """Reads a body; notes how it ended; answers size and hash."""
    digest, size = hashlib.sha256(), 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            note(request.tag, f"disconnect after {size}")
            return
        digest.update(message.get("body", b""))
        size += len(message.get("body", b""))
        (EVIDENCE / f"{request.tag}.progress").write_text(str(size))
        if not message.get("more_body"):
            break
    note(request.tag, f"complete {size}")
    await request.answer(f"{size} {digest.hexdigest()}\n".encode())


async def echo_head(request):
    import json

    headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.scope["headers"]]
    shown = {key: request.scope[key] for key in ("method", "path", "root_path", "scheme", "http_version")}
    shown["raw_path"] = request.scope["raw_path"].decode("latin-1")
    shown["query_string"] = request.scope["query_string"].decode("latin-1")
    shown["headers"] = headers
    shown["environ"] = dict(os.environ)
    await request.answer(json.dumps(shown).encode())


async def prints(request):
    """Prints and logs in turns with others; each line names its tag."""
    import logging

    for number in range(5):
        print(f"{request.tag} prints {number}")
        logging.getLogger("probe").warning("%s logs %d", request.tag, number)
        await asyncio.sleep(0.01)
    await request.answer(b"printed\n")


async def bad_head(request):
    """A head that must not reach a client."""
    name, value = request.query.get("name", "x-a"), request.query.get("value", "b")
    value *= int(request.number("size", 1))
    fields = [(name.encode(), value.encode())] * int(request.number("fields", 1))
    await request.head(int(request.number("status", 200)), fields)
    await request.write(b"body", more=False)


async def no_content(request):
    await request.head(int(request.number("status", 204)), [(b"x-kept", b"yes")])
    await request.write(b"", more=False)


ROUTES = {
    "/": hello,
    "/hello": hello,
    "/pid": pid,
    "/wait": wait_then_answer,
    "/stream": stream,
    "/bulk": bulk,
    "/fails": fails,
    "/exits": exits,
    "/short": short,
    "/long": long,
    "/watch": watch,
    "/deaf": deaf,
    "/upload": upload,
    "/head": echo_head,
    "/prints": prints,
    "/bad-head": bad_head,
    "/no-content": no_content,
}
