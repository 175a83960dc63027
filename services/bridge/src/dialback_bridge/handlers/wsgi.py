"""WSGI applications (PEP 3333): each request in a thread, its body read and its response sent part by part.

What is decided here: the head leaves with the first part that is not empty; each part that the application gives is
sent at once and the next one asked for when there is room; `close()` is called whatever happens, in the same thread,
so also when the client has left. An application learns of that at its next part, be it empty: reading the body raises
an OSError, `write` does, and what is iterated over is closed.
"""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from dialback_wire.fields import BODYLESS
from dialback_wire.messages import Field

from ..event import EventError, HttpRequest, http_request
from ..exchange import ClientGone, Exchange
from ..headers import Headers
from .base import Handler, HandlerFailed
from .body_file import body_file
from .threads import LoopCaller, Threads

Environ = dict[str, Any]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]
Application = Callable[[Environ, Callable[..., Callable[[bytes], object]]], Iterable[bytes]]


class WsgiHandler(Handler):
    """Calls a WSGI application."""

    def __init__(self, application: Application, threads: Threads) -> None:
        self._application = application
        self._threads = threads

    async def run(self, exchange: Exchange) -> None:
        try:
            request = http_request(exchange.event)
        except EventError as error:
            raise HandlerFailed(str(error)) from None
        exchange.forget_event()
        call = LoopCaller()
        environ = make_environ(request, body_file(exchange, call))
        answer = WsgiAnswer(exchange, call, request.method == "HEAD")
        await self._threads.run(lambda: self._serve(environ, answer))

    def _serve(self, environ: Environ, answer: WsgiAnswer) -> None:
        parts = self._application(environ, answer.start_response)
        try:
            for part in parts:
                answer.write(part, last=_is_alone(parts))
                if answer.is_enough:
                    break
            answer.finish()
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()


def _is_alone(parts: object) -> bool:
    """Whether the part that came is the whole body, as PEP 3333 lets a server conclude from a length of one."""
    return isinstance(parts, (list, tuple)) and len(parts) == 1


def make_environ(request: HttpRequest, body: io.BufferedReader) -> Environ:
    """The environment of a request: PEP 3333, "environ Variables"; text is Latin-1, as "Unicode Issues" wants it."""
    prefix = request.root_path.encode().decode("latin-1")
    path = request.decoded_path.decode("latin-1")
    server, port = request.server
    environ: Environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": prefix,
        "PATH_INFO": path[len(prefix) :],
        "QUERY_STRING": request.query.decode("latin-1"),
        "SERVER_NAME": server,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{request.http_version}",
        "SERVER_SOFTWARE": "dialback",
        "REQUEST_URI": f"{request.raw_path.decode('latin-1')}{'?' if request.query else ''}"
        f"{request.query.decode('latin-1')}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.scheme,
        "wsgi.input": body,
        # A body without a length ends where the input does.
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }
    if request.client is not None:
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = request.client[0], str(request.client[1])
    for name, value in request.headers:
        variable, separator = _variable(name)
        if variable:
            text = value.decode("latin-1")
            environ[variable] = f"{environ[variable]}{separator}{text}" if variable in environ else text
    return environ


@functools.lru_cache(maxsize=256)
def _variable(name: bytes) -> tuple[str, str]:
    """The variable of a header field, empty if it gets none; and what stands between its values if there are several.

    Remembered, because nearly all requests have the same few fields.
    """
    text = name.decode("latin-1")
    if "_" in text:
        # `x_a` and `x-a` would be one variable: who strips the one must not be given the other.
        return "", ""
    variable = text.upper().replace("-", "_")
    known = text in ("content-type", "content-length")
    return variable if known else f"HTTP_{variable}", "; " if text == "cookie" else ", "


class FileWrapper:
    """`wsgi.file_wrapper`: a file as an iterable of its blocks."""

    def __init__(self, file: Any, block_size: int = 64 * 1024) -> None:
        self._file = file
        # Frameworks ask for 8 KiB, which is right where a block costs nothing; here it crosses to another thread.
        self._block_size = max(block_size, 64 * 1024)

    def __iter__(self) -> FileWrapper:
        return self

    def __next__(self) -> bytes:
        data = self._file.read(self._block_size)
        if not data:
            raise StopIteration
        return bytes(data)

    def close(self) -> None:
        """Close the file, if it can be."""
        close = getattr(self._file, "close", None)
        if close is not None:
            close()


class WsgiAnswer:
    """One response, given from the application's thread."""

    def __init__(self, exchange: Exchange, call: LoopCaller, is_head: bool) -> None:
        self._exchange = exchange
        self._call = call
        self._is_head = is_head
        self._head: tuple[int, list[Field]] | None = None
        self._sent = False
        self._finished = False

    @property
    def is_enough(self) -> bool:
        """Whether a head was sent to which no body belongs, so that the rest need not be made."""
        return self._sent and self._head is not None and not self._has_body(self._head[0])

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        """PEP 3333, "The start_response() Callable"."""
        try:
            if exc_info is not None:
                if self._sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            elif self._head is not None:
                raise AssertionError("start_response was called a second time without exc_info")
            self._head = int(status.split(" ", 1)[0]), Headers(headers).fields()
        finally:
            exc_info = None  # or the traceback and this frame would hold each other
        return self.write

    def write(self, data: bytes, last: bool = False) -> None:
        """Send a part. Raises ClientGone. `last`: it is all there is, so its length is that of the body."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise HandlerFailed(f"a WSGI application gives bytes, not {type(data).__name__}")
        if not data:
            if self._exchange.gone is not None and not self._is_head:
                raise ClientGone("the client has gone")
            return
        self._call(self._send(bytes(data), last))

    def finish(self) -> None:
        """The application gave everything."""
        if not self._finished:
            self._call(self._finish())

    async def _send(self, data: bytes, last: bool) -> None:
        status = self._send_head(len(data) if last else None)
        if self._has_body(status):
            await self._exchange.write(data)
        if last:
            # Here, because each call from the thread to the loop costs more than all the rest.
            self._finished = True
            self._exchange.finish()

    async def _finish(self) -> None:
        # An empty body has a length too, unless the answer to HEAD, where nobody knows what GET would have said.
        self._send_head(None if self._is_head else 0)
        self._exchange.finish()

    def _send_head(self, length: int | None) -> int:
        """Send the head unless it was; returns the status."""
        if self._head is None:
            raise HandlerFailed("the application gave no status: it did not call start_response")
        status, fields = self._head
        if not self._sent:
            self._sent = True
            if length is not None and status not in BODYLESS and all(name != b"content-length" for name, _ in fields):
                fields = [*fields, (b"content-length", b"%d" % length)]
            self._exchange.head(status, fields)
        return status

    def _has_body(self, status: int) -> bool:
        return not self._is_head and status not in BODYLESS
