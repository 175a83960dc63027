"""ASGI 3 applications: HTTP and lifespan, specification 2.4.

https://asgi.readthedocs.io/en/latest/specs/www.html. What is decided here: `send` raises an OSError once nobody wants
the response (2.4); an application that ends before its response does has failed; the head leaves with the loop tick
in which `http.response.start` was sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from dialback_wire.messages import Field

from ..event import EventError, http_request
from ..exchange import ClientGone, Exchange
from .base import Handler, HandlerFailed
from .lifespan import ASGI_VERSIONS, Lifespan

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class AsgiHandler(Handler):
    """Calls an ASGI application."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._lifespan = Lifespan(application)

    async def start(self) -> None:
        await self._lifespan.start()

    async def stop(self) -> None:
        await self._lifespan.stop()

    async def run(self, exchange: Exchange) -> None:
        connection = AsgiConnection(exchange)
        scope = make_scope(exchange.event, self._lifespan.state)
        exchange.forget_event()
        await self._application(scope, connection.receive, connection.send)
        connection.check_complete()


def make_scope(event: Any, state: dict[str, Any]) -> Scope:
    """The connection scope of an event. Raises HandlerFailed for an event that is no HTTP request."""
    try:
        request = http_request(event)
    except EventError as error:
        raise HandlerFailed(str(error)) from None
    return {
        "type": "http",
        "asgi": ASGI_VERSIONS.copy(),
        "http_version": request.http_version,
        "method": request.method,
        "scheme": request.scheme,
        "path": request.path,
        "raw_path": request.raw_path,
        "query_string": request.query,
        "root_path": request.root_path,
        "headers": request.headers,
        "client": request.client,
        "server": request.server,
        "state": state.copy(),
        "extensions": {"http.response.trailers": {}, "http.response.early_hint": {}},
    }


class AsgiConnection:
    """`receive` and `send` of one request."""

    __slots__ = ("_body_done", "_body_given", "_exchange", "_trailers")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._body_given = False
        self._trailers: list[Field] | None = None
        """Collected trailer fields, when the application announced some."""
        self._body_done = False

    # --- receive ------------------------------------------------------------------------------------------------------

    async def receive(self) -> Message:
        """The next `http.request`, then, when it comes to that, `http.disconnect`."""
        exchange = self._exchange
        if not self._body_given:
            try:
                body = await exchange.read()
            except ClientGone:
                self._body_given = True
                return {"type": "http.disconnect"}
            if exchange.body_over:
                self._body_given = True
            return {"type": "http.request", "body": body, "more_body": not self._body_given}
        if exchange.body_over:
            await exchange.left()
        return {"type": "http.disconnect"}

    # --- send ---------------------------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """Take a message of the application. Raises ClientGone, and RuntimeError for one that is out of turn."""
        kind = message["type"]
        exchange = self._exchange
        if kind == "http.response.body":
            if not exchange.started or self._body_done:
                raise _out_of_turn(kind)
            body = message.get("body", b"")
            if not isinstance(body, bytes):
                body = bytes(memoryview(body))
            self._body_done = last = not message.get("more_body", False)
            if last and self._trailers is None and exchange.give_all(body):
                return
            # Even an empty part tells the application that nobody listens any more.
            if (body or exchange.gone is not None) and not exchange.give(body):
                await exchange.room()
            if last and self._trailers is None:
                exchange.finish()
        elif kind == "http.response.start":
            if exchange.started:
                raise _out_of_turn(kind)
            self._send_start(message)
        elif kind == "http.response.trailers" and self._trailers is not None and self._body_done:
            self._send_trailers(message, self._trailers)
        elif kind == "http.response.early_hint" and not exchange.started:
            exchange.info(103, [(b"link", bytes(link)) for link in message.get("links", ())])
        else:
            raise _out_of_turn(kind)

    def _send_start(self, message: Message) -> None:
        if message.get("trailers", False):
            self._trailers = []
        self._exchange.head(int(message["status"]), _fields(message.get("headers", ())))

    def _send_trailers(self, message: Message, collected: list[Field]) -> None:
        if self._exchange.complete:
            raise _out_of_turn(message["type"])
        collected += _fields(message.get("headers", ()))
        if not message.get("more_trailers", False):
            self._exchange.trailers(collected)
            self._exchange.finish()

    def check_complete(self) -> None:
        """The application has returned. Raises HandlerFailed unless it gave a whole response."""
        if not self._exchange.started:
            raise HandlerFailed("the application returned without a response")
        if not self._exchange.complete and self._exchange.gone is None:
            raise HandlerFailed("the application returned before its response was complete")


def _fields(headers: Iterable[Iterable[bytes]]) -> list[Field]:
    return [(bytes(name).lower(), bytes(value)) for name, value in headers]


def _out_of_turn(kind: str) -> RuntimeError:
    return RuntimeError(f"ASGI message {kind!r} is out of turn")
