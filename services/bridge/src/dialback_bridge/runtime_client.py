"""The runtime API of AWS Lambda (2018-06-01), as its client: take an invocation, answer it.

Dialback's workers reach it over their own Unix socket, with a secret; on AWS Lambda it is at `AWS_LAMBDA_RUNTIME_API`.
"""

from __future__ import annotations

import functools
import json
import re
import traceback
from dataclasses import dataclass, field
from typing import Any

from .http_connection import HttpGone, HttpResponse
from .http_pool import HttpPool, connect_tcp, connect_unix
from .user_frames import below_bridge

_BASE = b"/2018-06-01/runtime"
_SAFE_ID = re.compile(r"[0-9A-Za-z_.~-]{1,128}")


class PlatformGone(Exception):
    """The runtime API is not there any more, or does not know this worker: there is nothing left to serve."""


class AnswerTooLarge(Exception):
    """The runtime API takes no answer of this size (413)."""


@dataclass(slots=True)
class Delivery:
    """What `next` handed out."""

    id: str
    deadline_ms: int | None
    """Unix time in milliseconds; None: no deadline."""
    function_arn: str
    client_context: str | None
    identity: str | None
    event: bytes = field(repr=False)
    """The payload; empty once it was decoded, because it holds the token."""


@dataclass(frozen=True)
class Failure:
    """A failure in the runtime API's words."""

    type: str
    message: str
    trace: tuple[str, ...] = ()

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """As AWS's own Python runtime describes an exception: its class, its text, its frames."""
        frames = traceback.format_tb(below_bridge(error))
        return cls(type(error).__name__, str(error), tuple(frames))

    def to_json(self) -> bytes:
        """The body of an error call."""
        # ASCII, so that text which is no proper Unicode can be told as well.
        return json.dumps(
            {"errorType": self.type, "errorMessage": self.message, "stackTrace": list(self.trace)}
        ).encode()


class RuntimeClient:
    """Calls of the runtime API; any number may run at once. All raise PlatformGone."""

    def __init__(self, pool: HttpPool, host: str, secret: str | None) -> None:
        self._pool = pool
        lines = [f"Host: {host}"]
        if secret is not None:
            lines.append(f"Authorization: Bearer {secret}")
        headers = "".join(f"{line}\r\n" for line in lines).encode("latin-1")
        self._next = b"GET %b/invocation/next HTTP/1.1\r\n%b\r\n" % (_BASE, headers)
        self._headers = headers + b"Content-Type: application/json\r\n"

    @property
    def in_order(self) -> bool:
        """It has connections of its own: what goes to a receiver has to leave first."""
        return False

    @property
    def patient(self) -> int:
        """How many patient calls of `next` have not been sent yet."""
        return self._pool.patient

    def hurry(self) -> None:
        """Send the patient calls of `next` now."""
        self._pool.hurry()

    async def next(self, *, patient: bool = False) -> Delivery | None:
        """Wait for an invocation. None: this worker is to retire.

        A `patient` call leaves together with the next answer to an invocation, which saves a write and a read.
        """
        try:
            answer = await self._pool.request(self._next, patient=patient)
        except HttpGone as gone:
            raise _gone(gone) from gone
        if answer.status == 410:
            return None
        if answer.status != 200:
            raise PlatformGone(f"the runtime API answered {answer.status} to `next`")
        headers = answer.headers
        request_id = headers.get("lambda-runtime-aws-request-id", "")
        if not _SAFE_ID.fullmatch(request_id):
            raise PlatformGone("the runtime API handed out an invocation without a usable id")
        deadline = headers.get("lambda-runtime-deadline-ms", "")
        return Delivery(
            id=request_id,
            deadline_ms=int(deadline) or None if deadline.isdecimal() else None,
            function_arn=headers.get("lambda-runtime-invoked-function-arn", ""),
            client_context=headers.get("lambda-runtime-client-context"),
            identity=headers.get("lambda-runtime-cognito-identity"),
            event=answer.body,
        )

    async def respond(self, request_id: str, body: bytes) -> None:
        """Answer an invocation. Raises AnswerTooLarge.

        An invocation that the platform has given up meanwhile (400, 403, 404, 410) needs no answer.
        """
        answer = await self._post(b"invocation/%b/response" % request_id.encode(), body)
        if answer.status == 413:
            raise AnswerTooLarge

    async def fail(self, request_id: str, failure: Failure) -> None:
        """Report that an invocation failed."""
        await self._report(b"invocation/%b/error" % request_id.encode(), failure)

    async def fail_init(self, failure: Failure) -> None:
        """Report that this worker cannot start."""
        await self._report(b"init/error", failure)

    def close(self) -> None:
        """Let go of idle connections."""
        self._pool.close()

    async def _report(self, call: bytes, failure: Failure) -> None:
        kind = re.sub(r"[^0-9A-Za-z_.]", "?", failure.type)
        header = f"Lambda-Runtime-Function-Error-Type: {kind}\r\n".encode()
        await self._post(call, failure.to_json(), header)

    async def _post(self, call: bytes, body: bytes, header: bytes = b"") -> HttpResponse:
        request = b"POST %b/%b HTTP/1.1\r\n%b%bContent-Length: %d\r\n\r\n%b" % (
            _BASE,
            call,
            self._headers,
            header,
            len(body),
            body,
        )
        try:
            return await self._pool.request(request, leads=True)
        except HttpGone as gone:
            raise _gone(gone) from gone


def _gone(gone: HttpGone) -> PlatformGone:
    return PlatformGone(f"the runtime API is gone: {gone}")


def connect(secret: str | None, socket: str | None, address: tuple[str, int] | None) -> RuntimeClient:
    """A client for a Unix socket or, without one, for host and port. Nothing is dialled yet."""
    dial: Any
    if socket is not None:
        dial, host = functools.partial(connect_unix, socket), "localhost"
    elif address is not None:
        dial, host = functools.partial(connect_tcp, *address), f"{address[0]}:{address[1]}"
    else:
        raise ValueError("a runtime API has a socket or an address")
    return RuntimeClient(HttpPool(dial), host, secret)
