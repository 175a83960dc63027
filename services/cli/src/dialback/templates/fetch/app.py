"""A function from request to response, whose body is a generator."""

import asyncio

from dialback_bridge import Response


async def fetch(request):
    name = request.query.get("name", "world")
    return Response(lines(name), headers={"content-type": "text/plain; charset=utf-8"})


async def lines(name):
    for word in ("Hello", name, "and", "goodbye"):
        yield f"{word}\n"
        await asyncio.sleep(0.5)
