"""Vectors of single frames: valid ones with their meaning, malformed ones with what must happen."""

from typing import Any

from dialback_wire import frames
from dialback_wire.frames import FrameType
from dialback_wire.messages import Accept, End, Fields, Head, Hello, Info, Invoke, Reason, Request, Verdict

ID = "0123456789abcdefghjkmnpqrs"
TOKEN = b"db1_r0_" + ID.encode() + b"_" + b"ab" * 32
FIELDS: Fields = ((b"content-type", b"text/plain"), (b"x-empty", b""), (b"x-latin", b"\xe9"))
HINTS: Fields = ((b"link", b"</a.css>; rel=preload"),)
REQUEST = Request(
    id=ID,
    method=b"POST",
    target=b"/@hello/x%20y?q=1",
    authority=b"localhost:8080",
    fields=((b"host", b"localhost:8080"), (b"accept", b"*/*")),
    scheme=b"http",
    http_version=b"1.1",
    peer=b"127.0.0.1:5000",
    body_length=None,
    age_us=1500,
)
NONCE = bytes(range(32))


def text(value: bytes) -> str:
    """Bytes as a string of the same code points."""
    return value.decode("latin-1")


def pairs(fields: Fields) -> list[list[str]]:
    """Fields as JSON."""
    return [[text(name), text(value)] for name, value in fields]


def _valid(name: str, kind: FrameType, stream: int, content: bytes, /, **meaning: Any) -> dict[str, Any]:
    return {
        "name": name,
        "hex": frames.frame(kind, stream, content).hex(),
        "frame": {"type": kind.name, "stream": stream, **meaning},
    }


def _hello(name: str, hello: Hello) -> dict[str, Any]:
    return _valid(
        name,
        FrameType.HELLO,
        0,
        frames.encode_hello(hello),
        major=hello.major,
        minor=hello.minor,
        seat=hello.seat,
        max_frame=hello.max_frame,
        window=hello.window,
        max_streams=hello.max_streams,
        nonce=hello.nonce.hex(),
        agent=hello.agent,
    )


def _request(name: str, request: Request) -> dict[str, Any]:
    return _valid(
        name,
        FrameType.OPEN,
        7,
        frames.encode_open_request(request),
        kind="request",
        id=request.id,
        method=text(request.method),
        target=text(request.target),
        authority=text(request.authority),
        scheme=text(request.scheme),
        http_version=text(request.http_version),
        peer=text(request.peer),
        body_length=request.body_length,
        age_us=request.age_us,
        fields=pairs(request.fields),
    )


def _end(name: str, end: End) -> dict[str, Any]:
    return _valid(
        name,
        FrameType.END,
        7,
        frames.encode_end(end),
        verdict=end.verdict.name,
        count=end.count,
        status=end.status,
        retry_after=end.retry_after,
        code=end.code,
        detail=end.detail,
    )


def valid() -> list[dict[str, Any]]:
    """One frame each; decoding gives `frame`, encoding `frame` gives `hex`."""
    f = frames
    return [
        _hello("a bridge greets", Hello(1, 1, 4, 131072, 65536, 10000, b"", "dialback-bridge/0.1")),
        _hello("an edge greets and asks for a proof", Hello(1, 0, 1, 131072, 65536, 10000, NONCE, "")),
        _valid("a proof", FrameType.PROOF, 0, bytes(32), proof=bytes(32).hex()),
        _valid("a ping", FrameType.PING, 0, b"12345678", payload=b"12345678".hex()),
        _valid("a pong", FrameType.PONG, 0, b"12345678", payload=b"12345678".hex()),
        _valid("going away", FrameType.GOING_AWAY, 0, f.encode_going_away("deploying"), reason="deploying"),
        _valid(
            "an invocation",
            FrameType.INVOKE,
            0,
            f.encode_invoke(Invoke(ID, 1_790_000_000_123, b'{"version":"2.0"}')),
            invocation=ID,
            deadline_ms=1_790_000_000_123,
            event='{"version":"2.0"}',
        ),
        _valid("given back", FrameType.DECLINE, 0, ID.encode(), invocation=ID),
        _valid("all of it is over", FrameType.DONE, 0, ID.encode(), invocation=ID),
        _valid("a token", FrameType.OPEN, 7, f.encode_open_token(TOKEN), kind="token", token=text(TOKEN)),
        _request("a chunked request", REQUEST),
        _request(
            "a request without a body or fields",
            Request(ID, b"GET", b"*", b"a", (), b"http", b"1.1", b"[::1]:5", 0, 0),
        ),
        _valid(
            "let in, a body follows",
            FrameType.ACCEPT,
            7,
            f.encode_accept(Accept(b"\1\2", True)),
            body=True,
            resume="0102",
        ),
        _valid("no body", FrameType.ACCEPT, 7, f.encode_accept(Accept(b"", False)), body=False, resume=""),
        _valid("refused", FrameType.REFUSE, 7, f.encode_refuse(409, "in use"), code=409, reason="in use"),
        _valid(
            "early hints", FrameType.INFO, 7, f.encode_head(Info(103, FIELDS[:1])), status=103, fields=pairs(FIELDS[:1])
        ),
        _valid("a head", FrameType.HEAD, 7, f.encode_head(Head(200, FIELDS)), status=200, fields=pairs(FIELDS)),
        _valid(
            "a whole response",
            FrameType.ANSWER,
            7,
            f.encode_answer(Head(200, FIELDS), b"\0\1\xff"),
            status=200,
            fields=pairs(FIELDS),
            data="0001ff",
        ),
        _valid(
            "a whole response without a body",
            FrameType.ANSWER,
            7,
            f.encode_answer(Head(204, ()), b""),
            status=204,
            fields=[],
            data="",
        ),
        _valid("data", FrameType.DATA, 7, b"\0\1\xff", data="0001ff"),
        _valid("trailers", FrameType.TRAILERS, 7, f.encode_fields(FIELDS[:1]), fields=pairs(FIELDS[:1])),
        _end("a good end", End(Verdict.OK, 3)),
        _end("a bad end", End(Verdict.OVERLOAD, 0, 503, "queue_full", "später", 2)),
        _valid(
            "a cancel",
            FrameType.CANCEL,
            7,
            f.encode_cancel(Reason.CLIENT_GONE, "left"),
            reason="CLIENT_GONE",
            detail="left",
        ),
        _valid("credit", FrameType.WINDOW, 7, f.encode_window(32768, 98304), consumed=32768, limit=98304),
    ]


def _bad(name: str, kind: int, content: bytes, reaction: str, state: str, fill: int = 0) -> dict[str, Any]:
    stream = 0 if kind < FrameType.OPEN else 1
    data = frames.pack_header(kind << 24 | len(content) + fill, stream) + content
    return {"name": name, "hex": data.hex(), "fill": fill, "state": state, "reaction": reaction}


def _hi(*, max_frame: int = 131072, window: int = 65536, nonce: bytes = b"") -> bytes:
    return frames.encode_hello(Hello(1, 0, 2, max_frame, window, 10, nonce))


def malformed() -> list[dict[str, Any]]:
    """What an edge (seat 1) must do with a frame from its invoker.

    `state`: `greeting` (nothing came yet), `ready` (greeted, no key), `waiting` (stream 1 is open and has no head),
    `streaming` (it has one). `reaction`: `close` the carrier; `reset` stream 1 (CANCEL is sent, or nothing when the
    frame was an END, or an ANSWER where one may come) and tell its owner that it ended with PROTOCOL; `refused`
    (stream 1 is over, refused with 503); `pass_over`: nothing. `fill`: so many bytes 0x78 follow `hex`.
    """
    hello = _hi()
    ok, head = frames.encode_end(End(Verdict.OK, 5)), frames.encode_head(Head(200, FIELDS))
    return [
        _bad("wrong magic", 1, b"HTTP/1.1" + hello[8:], "close", "greeting"),
        _bad("wrong major version", 1, hello[:8] + b"\x02" + hello[9:], "close", "greeting"),
        _bad("wrong seat", 1, hello[:10] + b"\x04" + hello[11:], "close", "greeting"),
        _bad("cut greeting", 1, hello[:30], "close", "greeting"),
        _bad("short nonce", 1, _hi(nonce=b"abc"), "close", "greeting"),
        _bad(
            "it asks an end without a key for a proof",
            1,
            _hi(nonce=NONCE),
            "close",
            "greeting",
        ),
        _bad("tiny frames", 1, _hi(max_frame=1023), "close", "greeting"),
        _bad("no window", 1, _hi(window=0), "close", "greeting"),
        _bad("a ping before the greeting", 3, b"", "close", "greeting"),
        _bad("a stream before the greeting", 0x14, head, "close", "greeting"),
        _bad("more than 1024 bytes before the greeting is over", 1, hello + b"a" * 1024, "close", "greeting"),
        _bad("a second greeting", 1, hello, "close", "ready"),
        _bad("a proof that nobody asked for", 2, bytes(32), "close", "ready"),
        _bad("a ping of 65 bytes", 3, b"x" * 65, "close", "ready"),
        _bad("a frame larger than announced", 0x15, b"", "close", "streaming", fill=131073),
        _bad("unknown type of the carrier", 0x0F, b"later", "pass_over", "ready"),
        _bad("an invocation for a seat that takes none", 0x06, b"", "pass_over", "ready"),
        _bad("a stream that never was", 0x15, b"x", "pass_over", "ready"),
        _bad("unknown type of a stream", 0x7F, b"later", "pass_over", "waiting"),
        _bad("empty data", 0x15, b"", "pass_over", "streaming"),
        _bad("data before the head", 0x15, b"x", "reset", "waiting"),
        _bad("trailers before the head", 0x16, b"\0\0", "reset", "waiting"),
        _bad("a success without a head", 0x17, frames.encode_end(End(Verdict.OK)), "reset", "waiting"),
        _bad("a second head", 0x14, head, "reset", "streaming"),
        _bad("an interim response behind the head", 0x13, head, "reset", "streaming"),
        _bad("an end that counts wrong", 0x17, ok, "reset", "streaming"),
        _bad("a cut end", 0x17, ok[:5], "reset", "streaming"),
        _bad("an end whose code is cut", 0x17, ok[:-1] + b"\x09", "reset", "streaming"),
        _bad("a cut head", 0x14, head[:-1], "reset", "waiting"),
        _bad("a head with bytes behind it", 0x14, head + b"!", "reset", "waiting"),
        _bad(
            "a whole response behind the head",
            0x1A,
            frames.encode_answer(Head(200, FIELDS), b"x"),
            "reset",
            "streaming",
        ),
        _bad("a whole response without its head's length", 0x1A, b"\0\0\0", "reset", "waiting"),
        _bad("a whole response whose head is cut", 0x1A, b"\0\0\0\x09" + head[:8], "reset", "waiting"),
        _bad("a whole response with bytes behind its fields", 0x1A, b"\0\0\0\5\0\xc8\0\0!", "reset", "waiting"),
        _bad(
            "a whole response beyond the credit",
            0x1A,
            frames.encode_answer(Head(200, ()), b""),
            "reset",
            "waiting",
            fill=65537,
        ),
        _bad("a window of the wrong length", 0x19, b"\0" * 15, "reset", "waiting"),
        _bad("a window that acknowledges the future", 0x19, frames.encode_window(1, 65536), "reset", "waiting"),
        _bad("65,537 bytes at once", 0x15, b"", "reset", "streaming", fill=65537),
        _bad("an acceptance of a request", 0x11, b"\0", "reset", "waiting"),
        _bad("a refusal behind the head", 0x12, b"\x01\x99", "reset", "streaming"),
        _bad("a cancel from the answering side", 0x18, b"\1", "reset", "streaming"),
        _bad("a refusal without a code", 0x12, b"", "refused", "waiting"),
    ]
