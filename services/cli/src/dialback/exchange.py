"""One HTTP/1.1 request to the public port, both directions at once, with nothing between the wire and the caller.

A general client will not do here: it sends the whole body before it reads, and so stands still with a function that
answers while it receives; it rewrites the target; and it hides when each chunk came. h11 frames, `select` waits.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import h11

from dialback.errors import Truncated, Unreachable, UsageProblem

CONNECT_SECONDS = 5.0
READ_SIZE = 64 * 1024
LONGEST_HEAD = 128 * 1024
AT_ONCE = 256 * 1024
"""Bytes of the body that may wait to be sent before more of it is read."""

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class FileBody:
    """A body that is read from a descriptor as it is sent. `length` None: not known, so it is chunked."""

    fd: int
    length: int | None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request. `target` goes out as it is; `body` None: no body at all."""

    method: bytes
    target: bytes
    headers: Headers
    body: bytes | FileBody | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """The head of the answer (also of a 1xx), `t` in milliseconds after the request began to be sent."""

    t: float
    status: int
    reason: bytes
    headers: Headers

    @property
    def invocation(self) -> str:
        """The value of `x-dialback-id`, empty when there is none."""
        return next((value.decode("latin-1") for name, value in self.headers if name.lower() == b"x-dialback-id"), "")


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of the body. `complete` is false when a chunk of the wire goes on in the next piece."""

    t: float
    data: bytes
    complete: bool


class Exchange:
    """Call `run` once. It raises Unreachable before the head, Truncated when the answer stops short."""

    def __init__(self, base_url: str, outgoing: Outgoing) -> None:
        parts = urlsplit(base_url)
        if parts.scheme != "http" or not parts.hostname:
            raise UsageProblem(f"{base_url}: only http:// addresses can be invoked")
        self._base_url = base_url
        self._host, self._port, self._authority = parts.hostname, parts.port or 80, parts.netloc
        self._outgoing = outgoing
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD)
        self._pending = bytearray()
        self._source = outgoing.body if isinstance(outgoing.body, FileBody) else None
        self._left = self._source.length if self._source else None
        self._head: Incoming | None = None
        self._received = 0
        self._chunked = False
        self._began = self._now = 0.0

    def run(self) -> Iterator[Incoming | Piece]:
        """The head(s), then the body's pieces as they come; returning means that the answer was complete."""
        with self._connect() as connection:
            connection.setblocking(False)
            self._began = time.perf_counter()
            self._start()
            while True:
                reading: list[socket.socket | int] = [
                    connection,
                    *([self._source.fd] if self._wants_more() and self._source else []),
                ]
                readable, writable, _ = select.select(reading, [connection] if self._pending else [], [])
                if writable:
                    self._flush(connection)
                if self._source and self._source.fd in readable:
                    self._feed(self._source)
                if connection in readable:
                    self._take(connection)
                    yield from self._events()
                    if self._connection.their_state in (h11.DONE, h11.CLOSED, h11.MUST_CLOSE):
                        return

    def _connect(self) -> socket.socket:
        try:
            connection = socket.create_connection((self._host, self._port), CONNECT_SECONDS)
        except OSError as failure:
            raise Unreachable(
                f"cannot reach the platform's public port at {self._base_url}: {failure.strerror or failure}",
                hint="is `dialback up` running?",
            ) from None
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _start(self) -> None:
        outgoing = self._outgoing
        headers = [(b"Host", self._authority.encode()), *outgoing.headers, *self._framing(outgoing.headers)]
        headers.append((b"Connection", b"close"))
        try:
            request = h11.Request(method=outgoing.method, target=outgoing.target, headers=headers)
            self._send(request)
        except h11.LocalProtocolError as wrong:
            raise UsageProblem(f"this request cannot be sent: {wrong}") from None
        if isinstance(outgoing.body, bytes) and outgoing.body:
            self._send(h11.Data(outgoing.body))
        if self._source is None or self._left == 0:
            self._end_body()

    def _framing(self, given: Headers) -> Headers:
        if any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in given):
            raise UsageProblem("-H: content-length and transfer-encoding follow from the body and cannot be set")
        body = self._outgoing.body
        if body is None:
            return ()
        length = len(body) if isinstance(body, bytes) else body.length
        return ((b"Transfer-Encoding", b"chunked"),) if length is None else ((b"Content-Length", b"%d" % length),)

    def _send(self, event: h11.Request | h11.Data | h11.EndOfMessage) -> None:
        self._pending += self._connection.send(event) or b""

    def _end_body(self) -> None:
        self._source = None
        self._send(h11.EndOfMessage())

    def _wants_more(self) -> bool:
        return self._source is not None and len(self._pending) < AT_ONCE

    def _feed(self, source: FileBody) -> None:
        data = os.read(source.fd, READ_SIZE if self._left is None else min(READ_SIZE, self._left))
        if self._left is not None:
            self._left -= len(data)
            if not data:
                raise UsageProblem("the file of the body became shorter while it was sent")
        if data:
            self._send(h11.Data(data))
        if not data or self._left == 0:
            self._end_body()

    def _flush(self, connection: socket.socket) -> None:
        try:
            sent = connection.send(self._pending)
        except BlockingIOError:
            return
        except OSError:
            self._pending.clear()  # the answer, if there is one, says why nobody wants the body
            self._source = None
            return
        del self._pending[:sent]

    def _take(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError as failure:
            raise self._broken(failure.strerror or str(failure)) from None
        self._now = (time.perf_counter() - self._began) * 1000
        self._connection.receive_data(data)

    def _events(self) -> Iterator[Incoming | Piece]:
        while True:
            try:
                event = self._connection.next_event()
            except h11.RemoteProtocolError as wrong:
                raise self._broken(str(wrong)) from None
            if isinstance(event, h11.InformationalResponse | h11.Response):
                head = Incoming(self._now, event.status_code, bytes(event.reason), tuple(event.headers.raw_items()))
                if isinstance(event, h11.Response):
                    self._head = head
                    self._chunked = any(name.lower() == b"transfer-encoding" for name, _ in head.headers)
                yield head
            elif isinstance(event, h11.Data):
                self._received += len(event.data)
                yield Piece(self._now, bytes(event.data), event.chunk_end or not self._chunked)
            elif isinstance(event, h11.ConnectionClosed) and self._head is None:
                raise self._broken("it closed the connection")
            else:
                return

    def _broken(self, why: str) -> Truncated | Unreachable:
        if self._head is None:
            return Unreachable(f"{self._base_url} gave no answer: {why}", hint="is it Dialback's public port?")
        invocation = self._head.invocation
        return Truncated(
            f"the answer was cut short after {self._received:,} bytes",
            hint=f"`dialback trace {invocation}` says who ended it" if invocation else "",
        )
