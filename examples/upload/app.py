"""A streaming upload: the SHA-256 grows with the bytes, and progress is answered while they still arrive.

POST or PUT /, with `step` (bytes between two progress lines, 1048576). The answer is a JSON object a line, the last one
with `"done": true`. Memory stays flat whatever the size.
"""

import hashlib
import json
from urllib.parse import parse_qs


async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["method"] not in ("POST", "PUT"):
        await refuse(send, 405, "Send a body: curl -NT FILE http://...\n")
        return
    try:
        step = int(parse_qs(scope["query_string"].decode("latin-1")).get("step", ["1048576"])[0])
        if step < 1:
            raise ValueError
    except ValueError:
        await refuse(send, 400, "step must be a whole number of bytes, 1 or more\n")
        return

    digest, received, told = hashlib.sha256(), 0, 0

    async def line(more_body, **more):
        text = json.dumps({"received": received, "sha256": digest.hexdigest(), **more}) + "\n"
        await send({"type": "http.response.body", "body": text.encode(), "more_body": more_body})

    message = await receive()  # before the head: a client that sent "expect: 100-continue" waits for this
    headers = [(b"content-type", b"application/x-ndjson"), (b"cache-control", b"no-cache, no-transform")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while message["type"] == "http.request":
        digest.update(message.get("body", b""))
        received += len(message.get("body", b""))
        if not message.get("more_body"):
            await line(False, done=True)
            return
        if received - told >= step:
            told = received
            await line(True)
        message = await receive()
    print(f"the upload was cut short after {received} bytes")  # http.disconnect: never call this a whole file


async def refuse(send, status, text):
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode())]
    if status == 405:
        headers.append((b"allow", b"POST, PUT"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
