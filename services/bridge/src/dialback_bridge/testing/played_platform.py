"""The platform that a test client plays: one invocation's payload, receiver and runtime API, in memory.

The wire in between is the real one, so windows pause a handler whose client does not read, and a cut connection is
what it is in production.
"""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dialback_wire import fields as rules
from dialback_wire import memory, payload, tokens
from dialback_wire.errors import StreamViolation
from dialback_wire.ids import RANDOM_BYTES, new_id
from dialback_wire.messages import End, Fields, Head, Info, Reason, Verdict
from dialback_wire.mux import Mux
from dialback_wire.sink import BaseSink
from dialback_wire.stream import Stream
from dialback_wire.tables import Seat

from ..event import Stamp
from ..headers import Headers
from ..runtime_client import Failure
from ..stream_exchange import StreamExchange
from ..streams.source import drain
from ..waiters import Waiters


@dataclass
class Sent:
    """A request as a test states it."""

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes | Iterable[bytes] | None
    prefix: str = ""
    id: str = field(default_factory=lambda: new_id(os.urandom(RANDOM_BYTES)))

    @property
    def plan(self) -> str:
        """How the body travels, by the platform's own rule."""
        if self.body is None:
            return payload.BODY_NONE
        small = isinstance(self.body, bytes) and len(self.body) <= payload.INLINE_LIMIT
        return payload.BODY_INLINE if small else payload.BODY_STREAM

    def event(self, whole: bytes | None) -> dict[str, Any]:
        """A Function URL event (2.0) with `whole` as its body."""
        headers = {name: self.headers[name] for name in self.headers}
        headers.setdefault("host", "testserver")
        headers["x-forwarded-proto"] = "http"
        if self.prefix:
            headers["x-forwarded-prefix"] = self.prefix
        event: dict[str, Any] = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": self.path,
            "rawQueryString": self.query,
            "headers": headers,
            "requestContext": {
                "http": {
                    "method": self.method,
                    "path": self.path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": "127.0.0.1",
                    "userAgent": headers.get("user-agent", ""),
                },
                "requestId": self.id,
                "timeEpoch": int(time.time() * 1000),
            },
            "isBase64Encoded": False,
        }
        if "cookie" in headers:
            event["cookies"] = [each.strip() for each in headers["cookie"].split(";")]
        if whole:
            event["body"], event["isBase64Encoded"] = base64.b64encode(whole).decode(), True
        return event


class PlayedPlatform(BaseSink):
    """The receiver's end of one invocation, and its runtime API. Everything happens on the loop's thread."""

    def __init__(self, sent: Sent) -> None:
        loop = asyncio.get_running_loop()
        self.sent = sent
        self.began = time.monotonic()
        self.changed = Waiters()
        self.head: Head | None = None
        self.infos: list[Info] = []
        self.arrived: list[tuple[bytes, float]] = []
        """Parts of the body and the seconds, since the request, at which they came."""
        self.trailers: Fields = ()
        self.end: End | None = None
        self.lost = False
        self.invalid = ""
        """What is wrong with the head, so that no client would have been given it."""
        self.answer: bytes | Failure | None = None
        """What the runtime API was told."""
        self.token = tokens.mint("test", sent.id, os.urandom(32))[0].decode()
        self.serving: asyncio.Task[None] | None = None
        self.is_bodyless = False
        """Whether the head is all that a client gets (HEAD, 204, 304). The wire ends such a stream CANCELLED."""
        self._length: int | None = None
        self._stream: Stream | None = None
        self._upload: asyncio.Task[None] | None = None
        self._writable = Waiters()
        self._ready = loop.create_future()
        self._receiver, self._bridge = memory.join(
            lambda outlet: Mux(Seat.INVOKER_RECEIVER, write=outlet, defer=loop.call_soon, on_open=self._open),
            lambda outlet: Mux(Seat.BRIDGE, write=outlet, defer=loop.call_soon, on_ready=self._is_ready, eager=True),
            loop.call_soon,
        )

    def _is_ready(self) -> None:
        self._ready.set_result(None)

    # --- for the invocation: `Sockets` and `Runtime` ------------------------------------------------------------------

    async def open(self, stamp: Stamp, exchange: StreamExchange) -> None:
        """The bridge dials back."""
        await self._ready
        await exchange.attach(self._bridge.open_token(stamp.token.encode(), exchange))

    def release(self, socket: None) -> None:
        """The bridge needs the socket no more."""

    in_order = False

    async def respond(self, request_id: str, body: bytes) -> None:
        """The runtime API's `response`."""
        self._answered(body)

    async def fail(self, request_id: str, failure: Failure) -> None:
        """The runtime API's `error`."""
        self._answered(failure)

    def _answered(self, answer: bytes | Failure) -> None:
        self.answer = answer
        if self._upload is not None:
            self._upload.cancel()
        self.changed.wake()

    # --- the stream ---------------------------------------------------------------------------------------------------

    def _open(self, stream: Stream, opened: object) -> BaseSink:
        self._stream = stream
        streams = self.sent.plan == payload.BODY_STREAM
        stream.accept(b"", body=streams)
        if streams:
            self._upload = asyncio.ensure_future(self._send_body(stream))
        return self

    async def _send_body(self, stream: Stream) -> None:
        async def put(part: bytes) -> None:
            if not stream.over:
                stream.write(part)
            while stream.queued and not stream.over:
                await self._writable.wait()

        body = self.sent.body
        try:
            await drain([body] if isinstance(body, bytes) else body or (), put)
            verdict = Verdict.OK
        except Exception:
            # The test's own iterable raised: a client whose upload breaks off.
            verdict = Verdict.TRUNCATED
        if not stream.over:
            stream.end(verdict)

    def on_sent(self, count: int) -> None:
        self._writable.wake()

    def on_info(self, info: Info) -> None:
        self.infos.append(info)

    def on_head(self, head: Head) -> None:
        assert self._stream is not None
        try:
            self.head, self._length = rules.check_response_head(head)
        except StreamViolation as error:
            self.invalid = str(error)
            self._stream.cancel(Reason.PROTOCOL, self.invalid)
        else:
            if not rules.has_body(self.sent.method.encode(), head.status):
                self._length, self.is_bodyless = None, True
                self._stream.cancel(Reason.NO_BODY)
        self.changed.wake()

    def on_data(self, data: bytes) -> None:
        self.arrived.append((data, time.monotonic() - self.began))
        self.changed.wake()

    def on_trailers(self, fields: Fields) -> None:
        self.trailers = fields

    def on_end(self, end: End) -> None:
        self.end = end
        self._writable.wake()
        self.changed.wake()

    def on_lost(self, why: str) -> None:
        self.lost = True
        self._writable.wake()
        self.changed.wake()

    # --- for the test -------------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether nothing more will come to the client."""
        return self.end is not None or self.lost or self.answer is not None

    @property
    def is_short(self) -> bool:
        """Whether less, or more, came than Content-Length announced."""
        return self._length is not None and self._length != sum(len(data) for data, _ in self.arrived)

    def consumed(self, count: int) -> None:
        """The test has read so many bytes."""
        if self._stream is not None and not self._stream.over:
            self._stream.consumed(count)

    def leave(self) -> None:
        """The client goes away."""
        if self._stream is not None and not self._stream.over:
            self._stream.cancel(Reason.CLIENT_GONE)

    def cut(self) -> None:
        """The connection between function and platform breaks."""
        self._receiver.lost("cut by the test")
        self._bridge.lost("cut by the test")
