"""One keep-alive HTTP/1.1 connection, driven by callbacks: no task, no stream, no header that nobody asks for."""

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

import httptools


class LoadError(Exception):
    """The server did not do what the workload needs: a wrong status, a wrong length, a cut connection."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where to connect, and the path below which the workloads live ("" or "/@bench")."""

    host: str
    port: int
    prefix: str

    @classmethod
    def at(cls, url: str) -> "Server":
        parts = urlsplit(url)
        return cls(parts.hostname or "127.0.0.1", parts.port or 80, parts.path.rstrip("/"))

    def get(self, target: str) -> bytes:
        return f"GET {self.prefix}{target} HTTP/1.1\r\nhost: {self.host}:{self.port}\r\n\r\n".encode()

    def post(self, target: str, length: int) -> bytes:
        head = f"POST {self.prefix}{target} HTTP/1.1\r\nhost: {self.host}:{self.port}\r\n"
        return f"{head}content-type: application/octet-stream\r\ncontent-length: {length}\r\n\r\n".encode()


class Connection(asyncio.Protocol):
    """Subclasses add on_body(data) and what else of httptools they need; `finished` resolves when a response is whole.

    A subclass that keeps asking on the same connection overrides `completed` and calls `finish` when it has enough.
    """

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.feed(data)

    def feed(self, data: bytes | memoryview) -> None:
        try:
            self.parser.feed_data(data)
        except Exception as error:
            # What a callback raised is the cause that httptools keeps.
            cause = error.__context__ if isinstance(error.__context__, LoadError) else error
            self.fail(cause if isinstance(cause, LoadError) else LoadError(f"not HTTP: {error!r}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(LoadError(f"the server closed the connection before the response was whole ({exc})"))

    def on_message_complete(self) -> None:
        status = self.parser.get_status_code()
        if status == 200:
            self.completed()
        elif status >= 200:
            self.fail(LoadError(f"the server answered {status}"))

    def completed(self) -> None:
        self.finish()

    def finish(self) -> None:
        if not self.finished.done():
            self.finished.set_result(None)

    def fail(self, error: LoadError) -> None:
        if not self.finished.done():
            self.finished.set_exception(error)
            self.transport.close()

    async def ask(self, request: bytes) -> None:
        """Send a request and wait until its response is whole. Raises LoadError."""
        if self.finished.done():
            self.finished.result()
            self.finished = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        await self.finished

    def close(self) -> None:
        self.finish()
        self.finished.exception()  # an error nobody waited for is not worth a message when we leave
        self.transport.close()


class Reader(Connection, asyncio.BufferedProtocol):
    """A connection for much data: it reads into one buffer for ever and only counts the body's bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = bytearray(1 << 18)
        self.view = memoryview(self.buffer)
        self.received = 0

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.feed(self.view[:nbytes])

    def on_body(self, data: bytes) -> None:
        self.received += len(data)
