"""Counts what only the garbage collector would free: /hold stops it, /count collects."""

import gc


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    if scope["path"].endswith("/hold"):
        gc.collect()
        gc.disable()
    found = gc.collect() if scope["path"].endswith("/count") else 0
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(found).encode()})
