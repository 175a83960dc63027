"""An ASGI application without a framework: a line every half second, and it notices when its client leaves."""

import asyncio


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    try:
        for number in range(1, 6):
            await send({"type": "http.response.body", "body": f"line {number}\n".encode(), "more_body": True})
            await asyncio.sleep(0.5)
    except OSError:
        print("the client left")
        return
    await send({"type": "http.response.body", "body": b""})
