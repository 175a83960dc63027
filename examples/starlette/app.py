"""Starlette, unchanged: a room in which everybody hears what anybody says. One worker holds a hundred listeners.

GET / is the room's page, GET /events what is said as server-sent events, POST / says something (a text).
"""

import asyncio
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

from dialback_bridge import Event, event_stream

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>A room</title><base href="{root}/">
<h1>A room</h1>
<form id="say"><input id="text" autofocus autocomplete="off" placeholder="say something"> <button>Say</button></form>
<ol id="said"></ol>
<script>
const field = document.getElementById("text");
new EventSource("events").onmessage = event => {
  const line = document.createElement("li");
  line.textContent = event.data;
  document.getElementById("said").append(line);
};
document.getElementById("say").onsubmit = event => {
  event.preventDefault();
  fetch("", {method: "POST", body: field.value});
  field.value = "";
};
</script>
"""


class Room:
    """Who listens now. It lives in the worker's memory: dialback.toml allows one worker, so there is one room."""

    def __init__(self):
        self.queues = set()
        self.count = 0

    def say(self, text):
        self.count += 1
        for queue in self.queues:
            if queue.full():
                queue.get_nowait()  # a listener who does not keep up misses the oldest, and holds nobody up
            queue.put_nowait(Event(text, id=self.count))

    async def listen(self):
        queue = asyncio.Queue(100)
        self.queues.add(queue)
        print(f"{len(self.queues)} listening")
        try:
            yield Event("welcome", event="welcome")
            while True:
                yield await queue.get()
        finally:
            self.queues.discard(queue)
            print(f"one left, {len(self.queues)} listening")


@asynccontextmanager
async def lifespan(app):
    app.state.room = Room()
    yield
    print("the room is closed")


async def page(request):
    return HTMLResponse(PAGE.replace("{root}", request.scope.get("root_path", "")))


async def events(request):
    stream = event_stream(request.app.state.room.listen(), heartbeat=15)
    return StreamingResponse(stream, headers=stream.headers)


async def say(request):
    request.app.state.room.say((await request.body()).decode("utf-8", "replace")[:1000])
    return PlainTextResponse(f"heard by {len(request.app.state.room.queues)}\n", 202)


app = Starlette(
    routes=[Route("/", page), Route("/", say, methods=["POST"]), Route("/events", events)],
    lifespan=lifespan,
)
