"""Server-sent events: a page, and a stream with heartbeats that a browser reads and resumes."""

import asyncio
import time

from dialback_bridge import Event, Response, event_stream

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Events</title>
<ol id="list"></ol>
<script>
  const source = new EventSource("events");
  source.onmessage = (event) => {
    const item = document.createElement("li");
    item.textContent = event.data;
    document.getElementById("list").append(item);
  };
</script>
"""


async def fetch(request):
    if request.path == "/events":
        last = request.headers.get("last-event-id", "0")
        return event_stream(ticks(int(last) if last.isdecimal() else 0))
    if request.path == "/":
        return Response(PAGE, headers={"content-type": "text/html; charset=utf-8"})
    return Response("There is / and /events.\n", status=404)


async def ticks(number):
    while True:
        number += 1
        yield Event(time.strftime("%H:%M:%S"), id=str(number))
        await asyncio.sleep(1)
