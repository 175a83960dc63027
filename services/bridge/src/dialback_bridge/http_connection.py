"""A small HTTP/1.1 client for the runtime API: keep-alive, one request at a time on a connection, no dependencies.

The standard library's client blocks, and a thread for each poll would cost more than the poll.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

MAX_HEAD = 64 * 1024
MAX_BODY = 64 * 1024 * 1024


class HttpGone(Exception):
    """The connection could not be made, ended too early, or spoke something other than HTTP/1.1."""

    def __init__(self, message: str, answered: bool = False) -> None:
        super().__init__(message)
        self.answered = answered
        """Whether a part of an answer had come."""


@dataclass(frozen=True)
class HttpResponse:
    """A whole answer. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class HttpConnection(asyncio.Protocol):
    """One connection. `request` may be called again when the previous one has been answered and `reusable` holds."""

    def __init__(self) -> None:
        self.reusable = True
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._answer: asyncio.Future[HttpResponse] | None = None
        self._head: tuple[int, dict[str, str]] | None = None

    async def request(self, method: str, path: str, headers: bytes, body: bytes = b"") -> HttpResponse:
        """Send a request and wait, without a limit, for its answer. `headers` are whole lines. Raises HttpGone."""
        if self._transport is None or self._transport.is_closing() or self._answer is not None:
            raise HttpGone("the connection is closed")
        self._answer = asyncio.get_running_loop().create_future()
        length = b"Content-Length: %d\r\n" % len(body) if method != "GET" else b""
        self._transport.write(b"%s %s HTTP/1.1\r\n%s%s\r\n%s" % (method.encode(), path.encode(), headers, length, body))
        try:
            return await self._answer
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._answer = None

    def close(self) -> None:
        """Close at once."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            # An answer that nobody asked for, such as the 408 of a server that tires of an idle connection.
            self.close()
            return
        self._buffer += data
        try:
            answer = self._parse(at_end=False)
        except ValueError as error:
            self._fail(f"the answer is not HTTP/1.1: {error}")
            self.close()
            return
        if answer is not None:
            self._deliver(answer)

    def eof_received(self) -> None:
        self.reusable = False
        try:
            answer = self._parse(at_end=True)
        except ValueError:
            answer = None
        if answer is not None:
            self._deliver(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        self._fail("the connection was closed" if exc is None else f"the connection was lost: {exc}")

    # --- parsing ------------------------------------------------------------------------------------------------------

    def _deliver(self, answer: HttpResponse) -> None:
        self._head = None
        if answer.headers.get("connection", "").lower() == "close" or self._buffer:
            self.reusable = False
        if not self.reusable and self._transport is not None:
            self._transport.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def _fail(self, message: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(HttpGone(message, answered=bool(self._buffer or self._head)))

    def _parse(self, at_end: bool) -> HttpResponse | None:
        """The answer, when all of it is in the buffer. Raises ValueError for what cannot be one."""
        while self._head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > MAX_HEAD:
                    raise ValueError("the head is too large")
                return None
            head = _parse_head(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
            # RFC 9110, 15.2: interim answers may precede the final one.
            self._head = head if head[0] >= 200 else None
        status, headers = self._head
        body = self._parse_body(status, headers, at_end)
        return None if body is None else HttpResponse(status, headers, body)

    def _parse_body(self, status: int, headers: dict[str, str], at_end: bool) -> bytes | None:
        if len(self._buffer) > MAX_BODY:
            raise ValueError("the body is too large")
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return self._parse_chunks()
        length = headers.get("content-length")
        if length is None:
            if status in (204, 304):
                return b""
            # RFC 9112, 6.3: without a length, the body ends with the connection.
            self.reusable = False
            return self._take(len(self._buffer)) if at_end else None
        if not (length.isascii() and length.isdigit()):
            raise ValueError("Content-Length is no number")
        return self._take(int(length)) if len(self._buffer) >= int(length) else None

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

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


def _parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise ValueError("no status line")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError("a header line without a colon")
        headers[name.strip().lower()] = value.strip()
    return int(rest[:3]), headers
