"""An exchange whose response is collected and handed over whole: what a runtime without streaming does."""

from __future__ import annotations

import asyncio
from typing import Any

from dialback_wire.messages import Field
from dialback_wire.payload import LAMBDA_LIMIT

from . import lambda_values
from .event import inline_body
from .exchange import ClientGone, Exchange
from .runtime_client import Delivery


class AnswerOverflow(ClientGone):
    """The response is larger than a whole value may be (6 MB, as on AWS Lambda)."""


class BufferedExchange(Exchange):
    """Collects a response. `value` is what the runtime API gets."""

    __slots__ = ("_body", "_fields", "_status", "_written", "overflowed", "value")

    def __init__(self, delivery: Delivery, event: Any) -> None:
        super().__init__(delivery, event)
        self.value: bytes | None = None
        """The JSON of the finished answer."""
        self.overflowed = False
        body = inline_body(event) if isinstance(event, dict) and "requestContext" in event else b""
        self._body = body
        self._status = 0
        self._fields: list[Field] = []
        self._written = bytearray()

    @property
    def body_over(self) -> bool:
        return not self._body

    async def read(self) -> bytes:
        if self.gone is not None:
            raise ClientGone("the invocation is over")
        body, self._body = self._body, b""
        return body

    def info(self, status: int, fields: list[Field]) -> None:
        """Nothing: a whole value has no place for interim responses."""

    def head(self, status: int, fields: list[Field]) -> None:
        self.started = True
        self._status, self._fields = status, list(fields)

    def give(self, data: bytes) -> bool:
        if self.gone is None:
            self._written += data
            if len(self._written) > LAMBDA_LIMIT:
                self._written.clear()
                self.overflowed = True
                self.leave("overflow")
        return False

    async def room(self) -> None:
        if self.gone is not None:
            raise (
                AnswerOverflow("the response is larger than 6 MB")
                if self.overflowed
                else ClientGone("the invocation is over")
            )
        # Whoever never waits for anything else must still let the loop, and with it the deadline, come round.
        await asyncio.sleep(0)

    def trailers(self, fields: list[Field]) -> None:
        """Nothing: as `info`."""

    async def answer(self, value: Any) -> None:
        self._set(lambda_values.to_json(value))
        self.complete = True

    def finish(self) -> None:
        if self.value is None and not self.overflowed:
            self._set(lambda_values.to_json(lambda_values.collected(self._status, self._fields, bytes(self._written))))
        super().finish()

    def _set(self, value: bytes) -> None:
        self.overflowed = len(value) > LAMBDA_LIMIT
        self.value = None if self.overflowed else value
