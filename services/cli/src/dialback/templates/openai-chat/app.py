"""OpenAI's chat-completions API, streamed or whole; put your model in the place of `tokens`."""

import asyncio
import time
import uuid

from dialback_bridge import Response, event_stream

MODEL = "parrot"


async def tokens(messages):
    """Your model. Each piece of text leaves as soon as it is yielded; a client that leaves ends the loop."""
    said = str(messages[-1]["content"])
    for word in f"You said: {said}".split(" "):
        yield word + " "
        await asyncio.sleep(0.05)


async def fetch(request):
    if request.path == "/v1/models":
        return Response.json({"object": "list", "data": [{"id": MODEL, "object": "model"}]})
    if (request.method, request.path) != ("POST", "/v1/chat/completions"):
        return Response.json({"error": {"message": "There is POST /v1/chat/completions here"}}, status=404)
    try:
        asked = await request.json()
        messages = asked["messages"]
        messages[-1]["content"]
    except (ValueError, TypeError, KeyError, IndexError):
        return Response.json({"error": {"message": 'Send JSON with "messages"'}}, status=400)
    about = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": MODEL}
    if asked.get("stream"):
        return event_stream(chunks(about, messages))
    text = "".join([piece async for piece in tokens(messages)])
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return Response.json({**about, "object": "chat.completion", "choices": [choice]})


async def chunks(about, messages):
    def chunk(delta, reason=None):
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return {**about, "object": "chat.completion.chunk", "choices": [choice]}

    yield chunk({"role": "assistant", "content": ""})
    async for piece in tokens(messages):
        yield chunk({"content": piece})
    yield chunk({}, "stop")
    yield "[DONE]"
