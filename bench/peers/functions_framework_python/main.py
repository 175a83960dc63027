"""bench/app.py for functions-framework in Python: a function of Flask's request, in one of the server's threads."""

import time

from flask import Response

BLOCK = bytes(1 << 20)


def app(request):
    def number(name, otherwise):
        return float(request.args.get(name, otherwise))

    if request.path == "/hello":
        return Response(b"Hello world\n", content_type="text/plain")
    if request.path == "/stream":
        return streamed(stream(int(number("count", 10)), number("gap", 0.02)))
    if request.path == "/bulk":
        return streamed(chunks(int(number("bytes", 1 << 28)), int(number("chunk", 65536))))
    if request.path == "/tiny":
        size = int(number("size", 64))
        return streamed(chunks(int(number("count", 100_000)) * size, size))
    if request.path == "/sse":
        return streamed(events(int(number("count", 10)), number("gap", 1)), "text/event-stream")
    return Response(b"no such workload\n", status=404)


def streamed(body, content_type="application/octet-stream"):
    return Response(body, content_type=content_type, headers={"cache-control": "no-cache, no-transform"})


def stream(count, gap):
    for number in range(count):
        if number:
            time.sleep(gap)
        yield b"%19d\n" % time.monotonic_ns() + bytes(80)


def chunks(total, size):
    chunk = BLOCK[:size]
    for _ in range(total // size):
        yield chunk
    if total % size:
        yield chunk[: total % size]


def events(count, gap):
    for number in range(count):
        if number:
            time.sleep(gap)
        yield b"id: %d\ndata: %d\n\n" % (number, time.monotonic_ns())
