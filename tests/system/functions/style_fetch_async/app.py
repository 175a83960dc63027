"""An asynchronous `fetch` that leaves evidence, with what the bridge has for authors."""

import asyncio
import os
from pathlib import Path

from dialback_bridge import current_invocation, event_stream, wait_until

EVIDENCE = Path(os.environ["EVIDENCE"])


def note(tag, text):
    with open(EVIDENCE / tag, "a") as file:
        file.write(text + "\n")


async def fetch(request):
    if request.path == "/upload":
        return str(sum([len(part) async for part in request.stream()]))
    if request.path == "/later":
        wait_until(later(request.query["tag"]))
        return current_invocation().id
    return event_stream(parts(request.query["tag"]))


async def later(tag):
    await asyncio.sleep(0.2)
    note(tag, "worked")


async def parts(tag):
    try:
        while True:
            yield "part"
            await asyncio.sleep(0.01)
    finally:
        note(tag, "closed")
