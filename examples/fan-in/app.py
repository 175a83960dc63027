"""Three slow sources as one stream of server-sent events, in the order in which they answer.

GET / takes `order` ("arrival", or "source": all of the first, then all of the second) and `speed` (1).
"""

import asyncio

from dialback_bridge import Response, event_stream, merge

SOURCES = {"tortoise": 0.5, "hare": 0.15, "clock": 0.3}


async def fetch(request):
    order, speed = request.query.get("order", "arrival"), float(request.query.get("speed", 1))
    if order not in ("arrival", "source") or speed <= 0:
        return Response("order is arrival or source, speed a number above 0\n", 400)
    sources = [source(name, seconds / speed) for name, seconds in SOURCES.items()]
    return event_stream(merge(*sources, order=order), heartbeat=10)


async def source(name, seconds):
    """Stands for a slow upstream: five answers, `seconds` apart."""
    try:
        for number in range(1, 6):
            await asyncio.sleep(seconds)
            yield name, {"number": number}
    finally:
        # Also when the client leaves, or another source fails: nothing goes on for nobody.
        print(f"{name} is closed")
