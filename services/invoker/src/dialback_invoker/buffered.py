"""The worker's side of an exchange whose answer is one whole value, from the runtime API: `buffered` mode.

The value is read as Lambda reads a Function URL's answer: an object with `statusCode` is a response; anything else is
the JSON body of a 200 (Lambda developer guide, "Response payload format").
"""

import base64
import binascii
from typing import Any

import msgspec

from dialback_invoker.exchange import Exchange
from dialback_wire.messages import End, Field, Head, Reason, Verdict

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class BadAnswer(ValueError):
    """The value cannot be made into a response."""


class BufferedSource:
    """A whole answer. There is nobody to hold back and nobody to tell when the client leaves."""

    def consumed(self, count: int) -> None:
        """The value is all here already."""

    def cancel(self, reason: Reason, detail: str) -> None:
        """A runtime that answers whole values cannot be told: it runs to its end, and the answer is dropped."""


def deliver(value: bytes, exchange: Exchange) -> None:
    """Give a runtime's answer to the exchange."""
    try:
        head, body = as_response(value)
    except BadAnswer as error:
        exchange.end(End(Verdict.PROTOCOL, 0, 502, "bad_answer", str(error)), "P")
        return
    exchange.answer(head, body)


def as_response(value: bytes) -> tuple[Head, bytes]:
    """Head and body of a runtime's answer. Raises BadAnswer."""
    try:
        answer = _decode(value) if value.strip() else None
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadAnswer(f"the runtime's answer is no JSON: {error}") from error
    if not isinstance(answer, dict) or "statusCode" not in answer:
        body = answer.encode() if isinstance(answer, str) else _encode(answer)
        return _head(200, [(b"content-type", b"application/json")], body), body
    fields = _fields(answer.get("headers")) + _cookies(answer.get("cookies"))
    body = _body(answer.get("body"), bool(answer.get("isBase64Encoded", False)))
    if not any(name == b"content-type" for name, _ in fields):
        fields.append((b"content-type", b"application/json"))
    return _head(_status(answer["statusCode"]), fields, body), body


def _head(status: int, fields: list[Field], body: bytes) -> Head:
    kept = [field for field in fields if field[0] not in (b"content-length", b"transfer-encoding")]
    return Head(status, (*kept, (b"content-length", str(len(body)).encode())))


def _status(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise BadAnswer(f"statusCode {str(value)[:40]!r} is not a number") from None


def _fields(headers: Any) -> list[Field]:
    if headers is None:
        return []
    if not isinstance(headers, dict):
        raise BadAnswer("headers is not an object")
    pairs: list[Field] = []
    for name, value in headers.items():
        for one in value if isinstance(value, list) else [value]:
            pairs.append((_bytes(str(name)).lower(), _bytes(_text(one))))
    return pairs


def _cookies(cookies: Any) -> list[Field]:
    if cookies is None:
        return []
    if not isinstance(cookies, list):
        raise BadAnswer("cookies is not a list")
    return [(b"set-cookie", _bytes(_text(cookie))) for cookie in cookies]


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else _encode(value).decode()


def _bytes(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


def _body(body: Any, is_base64: bool) -> bytes:
    if body is None:
        return b""
    if not isinstance(body, str):
        return _encode(body)
    if not is_base64:
        return body.encode()
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadAnswer(f"the body is said to be base64 and is not: {error}") from error
