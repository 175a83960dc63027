"""Lambda response values: what a handler returns, as a response, and a collected response as such a value.

The rules are those of Lambda Function URLs (payload format 2.0). A dict with `statusCode` is a response: `statusCode`,
`headers`, `cookies`, `body`, `isBase64Encoded`. A str is the body of a 200, anything else is that as JSON.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dialback_wire.messages import Field

from .event import pack_body

JSON_TYPE = b"application/json"


class InvalidResponse(Exception):
    """The handler's value looks like a response and is none."""


@dataclass(frozen=True)
class Answer:
    """A response: status, header fields with names in lower case, body."""

    status: int
    fields: list[Field]
    body: bytes


def is_head(value: object) -> bool:
    """Whether `value` is a response, or the head of one, and not a value to be sent."""
    return isinstance(value, dict) and "statusCode" in value


def to_json(value: Any) -> bytes:
    """`value` as JSON. Raises InvalidResponse when it cannot be written so."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidResponse(f"the value that the handler gave cannot be written as JSON: {error}") from None


def infer(value: Any) -> Answer:
    """The response that `value` stands for. Raises InvalidResponse.

    A whole body has a known length, so Content-Length is stated for it, whatever the value says.
    """
    if is_head(value):
        status, fields, body = head_of(value)
    else:
        status, fields = 200, []
        body = value.encode("utf-8", "replace") if isinstance(value, str) else to_json(value)
    fields = [each for each in fields if each[0] not in (b"content-length", b"transfer-encoding")]
    if all(name != b"content-type" for name, _ in fields):
        fields.append((b"content-type", JSON_TYPE))
    fields.append((b"content-length", b"%d" % len(body)))
    return Answer(status, fields, body)


def head_of(value: dict[str, Any]) -> tuple[int, list[Field], bytes]:
    """Status, header fields and body of a dict with `statusCode`. Raises InvalidResponse."""
    try:
        status = int(value["statusCode"])
        fields = [
            _field(name, one)
            for name, text in (value.get("headers") or {}).items()
            for one in (text if isinstance(text, list) else [text])
        ]
        cookies: Iterable[str] = value.get("cookies") or ()
        fields += [_field("set-cookie", cookie) for cookie in cookies]
        return status, fields, _body(value)
    except (TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise InvalidResponse(f"the handler's response cannot be used: {error}") from None


def _field(name: str, value: object) -> Field:
    text = value if isinstance(value, str) else "" if value is None else to_json(value).decode()
    try:
        encoded = text.encode("latin-1")
    except UnicodeEncodeError:
        encoded = text.encode()
    return name.lower().encode("ascii"), encoded


def _body(value: dict[str, Any]) -> bytes:
    body = value.get("body")
    if body is None:
        return b""
    if not isinstance(body, (str, bytes)):
        return to_json(body)
    if value.get("isBase64Encoded"):
        return base64.b64decode(body, validate=True)
    return body.encode("utf-8", "replace") if isinstance(body, str) else body


def collected(status: int, fields: list[Field], body: bytes) -> dict[str, Any]:
    """A whole response as the value that a Lambda function would have returned for it."""
    headers: dict[str, str] = {}
    cookies = []
    for name, value in fields:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        if key == "set-cookie":
            cookies.append(text)
        else:
            # RFC 9110, 5.3: repeated fields may be joined by a comma.
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
    text_body, is_base64 = pack_body(body, headers.get("content-type", ""))
    value_out: dict[str, Any] = {"statusCode": status, "headers": headers}
    if cookies:
        value_out["cookies"] = cookies
    value_out["body"] = text_body
    value_out["isBase64Encoded"] = is_base64
    return value_out
