"""Subclasses of `http.server.BaseHTTPRequestHandler`: each request by a new instance, in a thread, without a socket.

The instance reads the request from a file and writes its answer, raw HTTP, to something that looks like a socket; that
answer is read as it is written, so each `wfile.write` goes on at once, and returns when there is room for more. What is
decided here: `path` is what follows the function's prefix; a body of unknown length ends where `rfile` ends; one
instance serves one request, whatever it thinks of keep-alive; a write for a client that has left raises an OSError (a
BrokenPipeError, which such handlers often catch). An answer that breaks its own framing, or ends before it says that it
does, has failed.
"""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

from ..event import EventError, HttpRequest, http_request
from ..exchange import AnswerError, ClientGone, Exchange
from ..http_response import HeadTooLarge, InvalidHttp, ResponseHead, ResponseReader
from .base import Handler, HandlerFailed
from .body_file import body_file
from .threads import LoopCaller, Threads

_HANDLED_HERE = frozenset({b"connection", b"expect"})
"""Fields of the request that the handler would act upon, and that are not its business."""


class RequestHandlerHandler(Handler):
    """Calls a class made from BaseHTTPRequestHandler."""

    def __init__(self, handler: type[Any], threads: Threads) -> None:
        self._handler = handler
        self._threads = threads

    async def run(self, exchange: Exchange) -> None:
        try:
            request = http_request(exchange.event)
        except EventError as error:
            raise HandlerFailed(str(error)) from None
        exchange.forget_event()
        call = LoopCaller()
        answer = RawAnswer(exchange, call, request.method == "HEAD")
        connection = Connection(body_file(exchange, call, head_of(request)), answer)
        host, port = request.server
        server = SimpleNamespace(server_name=host, server_port=port, server_address=(host, port))
        client = request.client or ("", 0)

        def in_thread() -> None:
            self._handler(connection, client, server)
            answer.finish()

        await self._threads.run(in_thread)


def head_of(request: HttpRequest) -> bytes:
    """The head of `request` as raw HTTP, prefix taken off."""
    path = request.raw_path[len(request.root_path.encode()) :] or b"/"
    target = path + (b"?" + request.query if request.query else b"")
    lines = [b"%s %s HTTP/1.1" % (request.method.encode("latin-1"), target)]
    lines += [b"%s: %s" % field for field in request.headers if field[0] not in _HANDLED_HERE]
    # Otherwise it would take what it did not read of the body for the next request.
    return b"\r\n".join([*lines, b"connection: close", b"", b""])


class RawAnswer:
    """Turns what is written into a response, from the handler's thread."""

    def __init__(self, exchange: Exchange, call: LoopCaller, is_head: bool) -> None:
        self._exchange = exchange
        self._call = call
        self._reader = ResponseReader(is_head)

    def write(self, data: bytes) -> None:
        """Take bytes of the raw answer.

        Raises ClientGone, HandlerFailed for what is no HTTP, AnswerError (502) for a head that does not end.
        """
        try:
            events = self._reader.feed(data)
        except HeadTooLarge as error:
            raise AnswerError(502, "bad_head", str(error)) from None
        except InvalidHttp as error:
            raise HandlerFailed(str(error)) from None
        if events:
            self._call(self._send(events))

    def finish(self) -> None:
        """The handler has returned."""
        try:
            self._reader.close()
        except InvalidHttp as error:
            if self._exchange.gone is not None:
                raise ClientGone("the client has gone") from None
            raise HandlerFailed(str(error)) from None
        self._call(self._finish())

    async def _send(self, events: list[Any]) -> None:
        for event in events:
            if not isinstance(event, ResponseHead):
                await self._exchange.write(event)
            elif not event.interim:
                self._exchange.head(event.status, list(event.fields))
            elif event.status != 100:  # that one follows from reading the body
                self._exchange.info(event.status, list(event.fields))

    async def _finish(self) -> None:
        self._exchange.finish()


class Connection:
    """As much of a socket as `socketserver.StreamRequestHandler` and its subclasses use."""

    def __init__(self, incoming: io.BufferedReader, answer: RawAnswer) -> None:
        self._incoming = incoming
        self._answer = answer

    def makefile(self, mode: str = "r", buffering: int = -1, **_: Any) -> Any:
        """`rfile`; and `wfile` for a class with a `wbufsize`."""
        if "r" in mode:
            return self._incoming
        raw = RawWriter(self._answer)
        return raw if buffering == 0 else io.BufferedWriter(raw, buffering if buffering > 0 else 8192)

    def sendall(self, data: Any) -> None:
        """Write to the client."""
        self._answer.write(bytes(data))

    def send(self, data: Any) -> int:
        """The same; takes everything."""
        self.sendall(data)
        return len(data)

    def settimeout(self, seconds: float | None) -> None:
        """Nothing: the platform's time-outs hold."""

    def setsockopt(self, *_: object) -> None:
        """Nothing: there is no socket."""

    def shutdown(self, how: int) -> None:
        """Nothing: the answer ends when the handler returns."""

    def close(self) -> None:
        """Nothing: as above."""


class RawWriter(io.RawIOBase):
    """A buffered `wfile`'s way out."""

    def __init__(self, answer: RawAnswer) -> None:
        self._answer = answer

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Write to the client; takes everything."""
        piece = bytes(data)
        self._answer.write(piece)
        return len(piece)
