"""The HTTP server of the runtime API: one listener per worker, one small protocol object per connection.

It is on the path of every invocation, twice, so it is written on httptools (llhttp) and not on a framework. It serves
programs that we started, one request at a time on a connection, and is strict about everything else.

Today it listens on a Unix socket in a folder of mode 0700. For the runtimes of AWS's own making, which know only a bare
``host:port``, `RuntimeServer.start` can be joined by a TCP twin: a connection needs a Desk and a check of who is
calling, no more.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import cast

import httptools

from dialback_invoker import runtime_api
from dialback_invoker.errors import PathProblem
from dialback_invoker.paths import BACKLOG
from dialback_invoker.runtime_api import BAD_REQUEST, FORBIDDEN, MAX_ANSWER, Desk, Payload, Reply

MAX_HEAD = 64 * 1024
MAX_WAITING = 16
MAX_SOCKET_PATH = 107
"""Bytes that fit in Linux's ``sun_path``, less the closing NUL."""

_REASONS = {status.value: status.phrase for status in HTTPStatus}
Authorize = Callable[[bytes], bool]


def bearer(secret: str) -> Authorize:
    """A check of an Authorization value against ``secret``, in constant time."""
    expected = f"Bearer {secret}".encode()
    return lambda value: hmac.compare_digest(value, expected)


def encode_reply(reply: Reply, *, close: bool) -> bytes:
    """The whole HTTP answer."""
    head = (
        f"HTTP/1.1 {reply.status} {_REASONS[reply.status]}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(reply.body)}\r\n{'Connection: close' if close else 'Connection: keep-alive'}\r\n\r\n"
    )
    return head.encode("ascii") + reply.body


def encode_payload(payload: Payload) -> bytes:
    """The head of `next`'s 200; awslambdaric crashes when Content-Type or the request id is missing."""
    extra = "".join(f"{name}: {value}\r\n" for name, value in payload.headers.items())
    return (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        f"Lambda-Runtime-Aws-Request-Id: {payload.invocation_id}\r\n"
        f"Lambda-Runtime-Deadline-Ms: {payload.deadline_ms}\r\n{extra}"
        f"Content-Length: {len(payload.body)}\r\n\r\n"
    ).encode("latin-1")


GONE = encode_reply(Reply(410, b'{"errorMessage":"This worker is retired","errorType":"Gone"}'), close=True)
_OK = encode_reply(runtime_api.OK, close=False)


class Connection(asyncio.Protocol):
    """One connection of a worker's runtime. Requests are answered in order, the next only after the one before."""

    def __init__(self, desk: Desk, authorize: Authorize, open_connections: set[Connection]) -> None:
        self._desk = desk
        self._authorize = authorize
        self._open = open_connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[bytes, bytes, bytes | None]] = deque()
        self._outgoing: list[bytes] = []
        self._polling = False
        self._in_head = True
        self._head_size = 0
        """Bytes of a head that came in more than one piece."""
        self._begin()

    def _begin(self) -> None:
        self._path = b""
        self._body: list[bytes] = []
        self._body_size = 0
        self._authorized = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._open.discard(self)
        if self._polling:
            self._polling = False
            self._desk.poll_gone(self)

    def data_received(self, data: bytes) -> None:
        was_in_head = self._in_head
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            self.abort()
            raise  # our own fault: the loop reports it
        except httptools.HttpParserError:
            self._refuse(BAD_REQUEST)
        if self._in_head and was_in_head:
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:  # llhttp itself would collect without end
                self._refuse(BAD_REQUEST)

    # httptools

    def on_message_begin(self) -> None:
        self._begin()

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) == 13 and name.lower() == b"authorization":
            self._authorized = self._authorize(value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if not self._authorized:
            self._refuse(FORBIDDEN)

    def on_body(self, data: bytes) -> None:
        self._body_size += len(data)
        if self._body_size <= MAX_ANSWER:
            self._body.append(data)
        else:
            self._body.clear()  # read to its end and thrown away: an answer sent before that might never be read

    def on_message_complete(self) -> None:
        if self._transport is None:
            return
        body = b"".join(self._body) if self._body_size <= MAX_ANSWER else None
        self._in_head = True  # of the next request
        self._head_size = 0
        self._waiting.append((self._parser.get_method(), self._path, body))
        if len(self._waiting) > MAX_WAITING:
            self._refuse(BAD_REQUEST)
        elif not self._polling:
            self._serve()

    # runtime_api.Poll

    def answer(self, payload: Payload) -> None:
        """Answers the open `next` with an event."""
        self._polling = False
        if self._transport is not None:
            self._write(encode_payload(payload))
            self._write(payload.body)
            self._serve()

    def retire(self) -> None:
        """Answers the open `next` with 410."""
        self._polling = False
        self._finish(GONE)

    # inside

    def abort(self) -> None:
        """Cuts the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _serve(self) -> None:
        while self._waiting and self._transport is not None and not self._polling:
            method, path, body = self._waiting.popleft()
            if runtime_api.is_next(method, path):
                self._polling = True
                self._desk.poll(self)
            else:
                reply = runtime_api.post(self._desk, method, path, body)
                self._write(_OK if reply is runtime_api.OK else encode_reply(reply, close=False))

    def _write(self, data: bytes) -> None:
        """Have it leave at the end of the loop's turn: the answer to a result and the next event often do together."""
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing.append(data)

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if outgoing and self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(outgoing)

    def _refuse(self, reply: Reply) -> None:
        self._finish(encode_reply(reply, close=True))

    def _finish(self, data: bytes) -> None:
        """Sends a last answer; what arrives after it is not looked at."""
        self._flush()
        transport, self._transport = self._transport, None
        if transport is None:
            return
        self._waiting.clear()
        transport.write(data)
        transport.close()
        if self._polling:
            self._polling = False
            self._desk.poll_gone(self)


class RuntimeServer:
    """The runtime API of one worker."""

    def __init__(self, desk: Desk, secret: str) -> None:
        self._desk = desk
        self._authorize = bearer(secret)
        self._connections: set[Connection] = set()
        self._server: asyncio.AbstractServer | None = None

    async def start(self, path: Path) -> None:
        """Listens on a Unix socket at ``path`` (mode 0600). Raises PathProblem when the path is too long or cannot
        be made.
        """
        if len(os.fsencode(path)) > MAX_SOCKET_PATH:
            raise PathProblem(
                f"{path} is too long for a socket: at most {MAX_SOCKET_PATH} bytes; choose a shorter run folder"
            )
        loop = asyncio.get_running_loop()
        try:
            starting = loop.create_task(loop.create_unix_server(self._connect, str(path), backlog=BACKLOG))
            try:
                self._server = await asyncio.shield(starting)
            except asyncio.CancelledError:
                (await starting).close()  # it listens by now, and nobody else knows of it
                raise
            os.chmod(path, 0o600)
        except OSError as error:
            raise PathProblem(f"cannot listen on {path}: {error.strerror or error}") from error

    def close(self) -> None:
        """Stops listening and cuts every connection. The socket's file goes with its folder."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in tuple(self._connections):
            connection.abort()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def _connect(self) -> Connection:
        return Connection(self._desk, self._authorize, self._connections)
