"""A stand-in for a large language model that speaks OpenAI's chat-completions API, streamed or whole.

The "model" repeats what it was told and adds a fixed paragraph, a word every 30 ms: the same question gives the same
tokens. POST /v1/chat/completions, GET /v1/models.
"""

import asyncio
import hashlib
import json
import re
import time

MODEL = "parrot-1"
SECONDS_PER_TOKEN = 0.03
PARAGRAPH = (
    "I am a parrot in the shape of a language model. Each word leaves the function as it is made, travels over "
    "the callback to the receiver, and from there to you, although the runtime of this function can only return "
    "a whole value."
)


async def app(scope, receive, send):
    assert scope["type"] == "http"
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    match scope["method"], path:
        case "POST", "/v1/chat/completions":
            await completions(receive, send)
        case "GET", "/v1/models":
            model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "dialback"}
            await send_json(send, 200, {"object": "list", "data": [model]})
        case "GET", "" | "/":
            await send_json(send, 200, {"try": "POST /v1/chat/completions", "models": "/v1/models"})
        case _:
            await send_error(send, 404, f"There is no {scope['method']} {path} here")


async def completions(receive, send):
    body = await read_body(receive)
    if body is None:
        return  # the client left before it had sent its question
    try:
        asked = json.loads(body)
        tokens = reply_to(asked["messages"])
        limit = int(asked.get("max_completion_tokens") or asked.get("max_tokens") or len(tokens))
        with_usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        if limit < 1:
            raise ValueError(limit)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError):
        await send_error(
            send, 400, 'Send JSON with "messages", one of them of the role "user"; token limits are above 0'
        )
        return

    said = tokens[:limit]
    answer = {
        "id": "chatcmpl-" + hashlib.sha256(body).hexdigest()[:24],
        "created": int(time.time()),
        "model": asked.get("model", MODEL),
    }
    usage = {
        "prompt_tokens": len(body.split()),
        "completion_tokens": len(said),
        "total_tokens": len(body.split()) + len(said),
    }
    finish = "stop" if len(said) == len(tokens) else "length"
    if asked.get("stream"):
        await stream(receive, send, answer, said, finish, usage if with_usage else None)
    else:
        await asyncio.sleep(SECONDS_PER_TOKEN * len(said))
        message = {"role": "assistant", "content": "".join(said)}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        await send_json(send, 200, answer | {"object": "chat.completion", "choices": [choice], "usage": usage})


async def stream(receive, send, answer, said, finish, usage):
    """One server-sent event per token: `data: {chunk}`, and `data: [DONE]` when all is said."""

    async def event(choices, **more):
        chunk = answer | {"object": "chat.completion.chunk", "choices": choices} | more
        data = f"data: {json.dumps(chunk)}\n\n".encode()
        await send({"type": "http.response.body", "body": data, "more_body": True})

    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache, no-transform")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    gone = asyncio.create_task(receive())  # the body was read: the next message can only be http.disconnect
    try:
        await event([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
        for count, token in enumerate(said):
            done, _ = await asyncio.wait({gone}, timeout=SECONDS_PER_TOKEN)
            if done:
                print(f"the client left after {count} of {len(said)} tokens")  # a real model would stop generating
                return
            await event([{"index": 0, "delta": {"content": token}, "finish_reason": None}])
        await event([{"index": 0, "delta": {}, "finish_reason": finish}])
        if usage:
            await event([], usage=usage)
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
    finally:
        gone.cancel()


def reply_to(messages):
    """The answer's tokens, words with the space that follows them. Raises IndexError when no user has spoken."""
    question = [message["content"] for message in messages if message["role"] == "user"][-1]
    if not isinstance(question, str):  # the API also allows a list of parts
        question = " ".join(part["text"] for part in question if part["type"] == "text")
    return re.findall(r"\S+\s*", f"You said: {question.strip()}\n\n{PARAGRAPH}")


async def read_body(receive):
    """The whole request body, or None when the client left before its end."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def send_error(send, status, message):
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    await send_json(send, status, {"error": error})


async def send_json(send, status, value):
    body = json.dumps(value).encode() + b"\n"
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
