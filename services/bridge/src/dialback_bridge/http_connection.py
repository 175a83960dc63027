"""A small HTTP/1.1 client for the runtime API: keep-alive, pipelining, no dependencies.

The standard library's client blocks, and a thread for each poll would cost more than the poll.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, cast

READ_BUFFER = 64 * 1024
"""Bytes that are read at once. One buffer serves all connections: what is in it is taken before the loop goes on."""

_read_buffer = memoryview(bytearray(READ_BUFFER))

MAX_HEAD = 64 * 1024
MAX_BODY = 64 * 1024 * 1024


class HttpGone(Exception):
    """The connection could not be made, ended too early, or spoke something other than HTTP/1.1."""

    def __init__(self, message: str, answered: bool = False) -> None:
        super().__init__(message)
        self.answered = answered
        """Whether a part of an answer had come."""


@dataclass(slots=True)
class HttpResponse:
    """A whole answer. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Head(NamedTuple):
    """What the head of an answer says."""

    status: int
    headers: dict[str, str]
    length: int | None
    """Bytes of the body; None for one in chunks, and for one that ends with the connection."""
    chunked: bool
    closes: bool
    """Whether the connection closes behind this answer."""


Answer = asyncio.Future[HttpResponse]


class HttpConnection(asyncio.BufferedProtocol):
    """One connection. Requests may be sent behind each other; they are answered in their order (RFC 9112, 9.3.2).

    asyncio's usual protocol gets a new object of 256 KiB for every read; this one reads into the same memory each time.
    """

    def __init__(self) -> None:
        self.reusable = True
        """Whether another request may be sent when all answers are there."""
        self.on_idle: Callable[[HttpConnection], None] = lambda _: None
        """Is told when the last answer that was asked for has come and the connection may be used again."""
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._answers: deque[Answer] = deque()
        self._head: _Head | None = None
        """That of an answer whose body is not complete yet."""

    def send(self, requests: bytes, *answers: Answer) -> None:
        """Send whole requests, one for each of `answers`; these get what comes back, or HttpGone."""
        if self._transport is None or self._transport.is_closing():
            _fail(answers, HttpGone("the connection is closed"))
            return
        self._answers += answers
        self._transport.write(requests)

    def give_up(self, answer: Answer) -> None:
        """Nobody waits for `answer` any more: close as soon as nobody waits for one before it."""
        self.reusable = False
        if answer in self._answers:
            while self._answers.pop() is not answer:
                pass
            if not self._answers:
                self.close()

    def close(self) -> None:
        """Close at once."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.BufferedProtocol -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        if not self._answers:
            # An answer that nobody asked for, such as the 408 of a server that tires of an idle connection.
            self.close()
            return
        self._buffer += _read_buffer[:nbytes]
        try:
            # What is asked for next need not have come yet.
            while self._buffer and self._answers and self._parse(at_end=False):
                pass
        except ValueError as error:
            self._fail(f"the answer is not HTTP/1.1: {error}")
            self.close()

    def eof_received(self) -> None:
        self.reusable = False
        try:
            if self._answers:
                self._parse(at_end=True)
        except ValueError:
            pass

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        self._fail("the connection was closed" if exc is None else f"the connection was lost: {exc}")

    # --- parsing ------------------------------------------------------------------------------------------------------

    def _deliver(self, head: _Head, body: bytes) -> None:
        self._head = None
        answer = self._answers.popleft()
        if not answer.done():
            answer.set_result(HttpResponse(head.status, head.headers, body))
        if head.closes or (self._buffer and not self._answers):
            # RFC 9112, 9.6: whatever was sent behind the request whose answer says `close` was not looked at.
            self.reusable = False
            self._buffer.clear()
            self._fail("the server closes the connection")
        if self._answers:
            return
        if self.reusable:
            self.on_idle(self)
        elif self._transport is not None:
            self._transport.close()

    def _fail(self, message: str) -> None:
        answers, self._answers = self._answers, deque()
        if answers:
            _fail((answers.popleft(),), HttpGone(message, answered=bool(self._buffer or self._head)))
            _fail(answers, HttpGone(message))

    def _parse(self, at_end: bool) -> bool:
        """Deliver the answer, when all of it is in the buffer. Raises ValueError for what cannot be one."""
        buffer, head = self._buffer, self._head
        while head is None:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(buffer) > MAX_HEAD:
                    raise ValueError("the head is too large")
                return False
            head = _parse_head(bytes(buffer[:end]))
            del buffer[: end + 4]
            # RFC 9110, 15.2: interim answers may precede the final one.
            if head.status < 200:
                head = None
        self._head = head
        if len(buffer) > MAX_BODY:
            raise ValueError("the body is too large")
        length = head.length
        if length is None:
            body = self._parse_chunks() if head.chunked else self._parse_rest(at_end)
            if body is None:
                return False
        elif len(buffer) >= length:
            body = bytes(buffer[:length])
            del buffer[:length]
        else:
            return False
        self._deliver(head, body)
        return True

    def _parse_rest(self, at_end: bool) -> bytes | None:
        # RFC 9112, 6.3: without a length, the body ends with the connection.
        self.reusable = False
        if not at_end:
            return None
        body = bytes(self._buffer)
        self._buffer.clear()
        return body

    def _parse_chunks(self) -> bytes | None:
        parts: list[bytes] = []
        at = 0
        while True:
            end = self._buffer.find(b"\r\n", at)
            if end < 0:
                return None
            size = int(bytes(self._buffer[at:end]).split(b";")[0], 16)
            if size == 0:
                # The trailer section: fields, then an empty line.
                last = self._buffer.find(b"\r\n\r\n", end)
                if last < 0:
                    return None
                del self._buffer[: last + 4]
                return b"".join(parts)
            if size < 0 or size > MAX_BODY:
                raise ValueError("a chunk is too large")
            at = end + 2 + size + 2
            if len(self._buffer) < at:
                return None
            parts.append(bytes(self._buffer[end + 2 : at - 2]))


def _fail(answers: Iterable[Answer], error: HttpGone) -> None:
    for answer in answers:
        if not answer.done():
            answer.set_exception(error)


@functools.lru_cache(maxsize=16)
def _parse_head(head: bytes) -> _Head:
    # Remembered, because all answers to our answers are the same. Nobody changes what is returned.
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise ValueError("no status line")
    status = int(rest[:3])
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError("a header line without a colon")
        headers[name.strip().lower()] = value.strip()
    chunked = "chunked" in headers.get("transfer-encoding", "").lower()
    length = None if chunked else headers.get("content-length", "0" if status in (204, 304) else None)
    if length is not None and not (length.isascii() and length.isdigit()):
        raise ValueError("Content-Length is no number")
    closes = headers.get("connection", "").lower() == "close"
    return _Head(status, headers, None if length is None else int(length), chunked, closes)
