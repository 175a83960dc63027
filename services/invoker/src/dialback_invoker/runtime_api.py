"""The Lambda runtime API as workers see it: which call does what, apart from any socket.

A `Desk` is one worker's side of it (`dialback_invoker.worker.Worker` is one). `runtime_http` speaks HTTP to it; a
launcher whose workers are remote (AWS Lambda itself) may talk to a Desk directly.

    GET  /2018-06-01/runtime/invocation/next            200 + event; 410: nothing more will come, exit 0
    POST /2018-06-01/runtime/invocation/{id}/response   202, 400 (no such invocation), 413
    POST /2018-06-01/runtime/invocation/{id}/error      202, 400
    POST /2018-06-01/runtime/init/error                 202

The answer to a late `response` or `error` is 202 as well: AWS's own Python client exits when it gets anything else,
and a worker whose client has left should stay warm.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

ROOT = b"/2018-06-01/runtime/"
MAX_ANSWER = 6 * 1024 * 1024 + 64 * 1024
"""Bytes of a posted answer: Lambda's 6 MB and some room for the JSON around it."""
MAX_STACK_LINES = 200
MAX_TEXT = 64 * 1024


@dataclass(slots=True)
class Payload:
    """What a `next` poll is answered with."""

    invocation_id: str
    body: bytes
    deadline_ms: int
    """Unix milliseconds, as Lambda's header of this name."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further fields, such as ``lambda-runtime-trace-id``."""


@dataclass(frozen=True, slots=True)
class FunctionError:
    """An error that the function's runtime reported: of one invocation, or of its start."""

    type: str
    message: str
    stack: tuple[str, ...] = ()

    def text(self) -> str:
        """Type and message in one line, then the stack: what a developer wants to read."""
        head = f"{self.type}: {self.message}" if self.message else self.type
        lines = [line for part in self.stack for line in part.splitlines() if line.strip()]
        return "\n".join((head, *lines))


class Poll(Protocol):
    """An open `next` request."""

    def answer(self, payload: Payload) -> None: ...

    def retire(self) -> None:
        """Answers 410: the worker shall exit."""
        ...


class Desk(Protocol):
    """One worker's conversation with its runtime. All calls come on the loop's thread and must not block."""

    def poll(self, poll: Poll) -> None:
        """A `next` arrived; the desk answers it now or later, once."""
        ...

    def poll_gone(self, poll: Poll) -> None:
        """The connection of an unanswered `next` broke."""
        ...

    def response(self, invocation_id: str, body: bytes) -> bool:
        """The invocation's result. False: this worker never had such an invocation."""
        ...

    def error(self, invocation_id: str, error: FunctionError) -> bool:
        """The invocation failed. False: this worker never had such an invocation."""
        ...

    def init_error(self, error: FunctionError) -> None:
        """The function could not be loaded; the runtime exits now."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """The HTTP answer to a POST."""

    status: int
    body: bytes


OK = Reply(202, b'{"status":"OK"}')
FORBIDDEN = Reply(403, b'{"errorMessage":"Forbidden","errorType":"Forbidden"}')
NOT_FOUND = Reply(404, b'{"errorMessage":"No such path","errorType":"NotFound"}')
BAD_METHOD = Reply(405, b'{"errorMessage":"Method not allowed","errorType":"MethodNotAllowed"}')
UNKNOWN_INVOCATION = Reply(400, b'{"errorMessage":"Unknown invocation","errorType":"InvalidRequestID"}')
TOO_LARGE = Reply(413, b'{"errorMessage":"Exceeded maximum allowed payload size","errorType":"RequestEntityTooLarge"}')
BAD_REQUEST = Reply(400, b'{"errorMessage":"Malformed request","errorType":"InvalidRequest"}')


def is_next(method: bytes, path: bytes) -> bool:
    """Whether this is the long poll, which `post` does not handle."""
    return method == b"GET" and path == ROOT + b"invocation/next"


def post(desk: Desk, method: bytes, path: bytes, body: bytes | None) -> Reply:
    """Does what a POST asks and says how to answer it; ``body`` None stands for one that was over MAX_ANSWER."""
    if not path.startswith(ROOT):
        return NOT_FOUND
    match path[len(ROOT) :].split(b"/"):
        case [b"init", b"error"]:
            name = ""
        case [b"invocation", raw, b"response" | b"error"] if raw:
            name = raw.decode("ascii", "replace")
        case _:
            return NOT_FOUND if method in (b"GET", b"POST") else BAD_METHOD
    if method != b"POST":
        return BAD_METHOD
    if not name:
        desk.init_error(parse_error(body or b"{}"))
        return OK
    if body is None:
        # Lambda ends such an invocation with this error type.
        error = FunctionError("Function.ResponseSizeTooLarge", f"the answer is larger than {MAX_ANSWER} bytes")
        return TOO_LARGE if desk.error(name, error) else UNKNOWN_INVOCATION
    known = desk.response(name, body) if path.endswith(b"/response") else desk.error(name, parse_error(body))
    return OK if known else UNKNOWN_INVOCATION


def parse_error(body: bytes) -> FunctionError:
    """Reads ``{"errorType","errorMessage","stackTrace"}``; a worker is not trusted, so anything else still yields
    an error.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        return FunctionError("Runtime.Unknown", body[:2048].decode("utf-8", "replace"))
    stack = value.get("stackTrace")
    lines = stack[:MAX_STACK_LINES] if isinstance(stack, list) else []
    return FunctionError(
        _text(value.get("errorType"), 256) or "Runtime.Unknown",
        _text(value.get("errorMessage"), MAX_TEXT),
        tuple(_text(line, 4096) for line in lines),
    )


def _text(value: object, limit: int) -> str:
    """Text of bounded length, whatever JSON held."""
    if value is None:
        return ""
    return (value if isinstance(value, str) else json.dumps(value))[:limit]
