"""The payload: an AWS Lambda Function URL event, format 2.0, stamped with the callback.

Without the key `dialback` it is exactly what Lambda would hand to a function behind a Function URL (Lambda developer
guide, "Request payload format"), so handlers and adapters written for Lambda understand it.
"""

import base64
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from urllib.parse import parse_qsl

import msgspec

from dialback_invoker.recorded_request import REDACTED, is_secret
from dialback_invoker.routing import Route
from dialback_wire import payload
from dialback_wire.fields import RUN_TICKET
from dialback_wire.messages import Fields, Request
from dialback_wire.tokens import redact

_TEXTUAL = (
    "text/",
    "application/json",
    "application/javascript",
    "application/xml",
    "application/x-www-form-urlencoded",
)
_RUN_TICKET = RUN_TICKET.decode()
_SHOWN_BODY = 200
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, object]).decode


@dataclass(slots=True)
class Callback:
    """Where and how the bridge dials back for one invocation."""

    url: str
    token: bytes
    body: str
    """`none`, `inline` or `stream` (dialback_wire.payload)."""
    body_length: int | None


def event(request: Request, route: Route, body: bytes | None, callback: Callback | None) -> dict[str, object]:
    """The event for one invocation. `body` is None when there is none or when it streams."""
    headers = _headers(request.fields)
    # It is between the caller and the platform.
    headers.pop(_RUN_TICKET, None)
    cookie = headers.pop("cookie", None)
    domain = headers.get("host")
    if domain is None:
        domain = headers["host"] = request.authority.decode("latin-1")
    if route.root_path:
        headers["x-forwarded-prefix"] = route.root_path
    now = time.time()
    stamped: dict[str, object] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": route.path,
        "rawQueryString": route.query,
        "headers": headers,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": route.function,
            "authentication": None,
            "authorizer": None,
            "domainName": domain,
            "domainPrefix": domain.partition(".")[0],
            "http": {
                "method": request.method.decode("latin-1"),
                "path": route.path,
                "protocol": "HTTP/" + request.http_version.decode("latin-1"),
                "sourceIp": request.peer.decode("latin-1").rpartition(":")[0].strip("[]"),
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request.id,
            "routeKey": "$default",
            "stage": "$default",
            "time": _clf_time(int(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": False,
        "pathParameters": None,
        "stageVariables": None,
    }
    if cookie is not None and (cookies := [part.strip() for part in cookie.split(";") if part.strip()]):
        stamped["cookies"] = cookies
    if route.query:
        stamped["queryStringParameters"] = _query(route.query)
    if body:
        text = _as_text(body, headers.get("content-type", ""))
        stamped["isBase64Encoded"] = text is None
        stamped["body"] = base64.b64encode(body).decode() if text is None else text
    if callback is not None:
        stamped[payload.KEY] = {
            "version": payload.VERSION,
            "invocation": request.id,
            "url": callback.url,
            "token": callback.token.decode(),
            "body": callback.body,
            "body_length": callback.body_length,
            "root_path": route.root_path,
        }
    return stamped


def _headers(fields: Fields) -> dict[str, str]:
    """The fields as Lambda has them: repeated ones are joined."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in fields}
    if len(headers) < len(fields):
        headers.clear()
        for raw_name, raw_value in fields:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            glue = ";" if name == "cookie" else ","
            headers[name] = f"{headers[name]}{glue}{value}" if name in headers else value
    return headers


@lru_cache(maxsize=4)
def _clf_time(second: int) -> str:
    """The time as the Common Log Format writes it; the same for all requests of a second."""
    return datetime.fromtimestamp(second, timezone.utc).strftime("%d/%b/%Y:%H:%M:%S +0000")


def encode(stamped: dict[str, object]) -> bytes:
    """The event as the JSON that the runtime API hands out."""
    return _encode(stamped)


def kept(stamped: dict[str, object], encoded: bytes, *, bodies: bool = True) -> bytes:
    """The event, `encoded` as it was handed over, as it is kept for a trace: a long body cut, or left out."""
    body = stamped.get("body")
    if not isinstance(body, str) or (bodies and len(body) <= _SHOWN_BODY):
        return encoded
    said = f"{body[:_SHOWN_BODY]}... ({len(body)} characters)" if bodies else f"({len(body)} characters, not recorded)"
    return _encode({**stamped, "body": said})


def shown(encoded: bytes) -> dict[str, object]:
    """What was kept, as a trace may show it: token and credentials redacted."""
    visible = _decode(encoded)
    headers = visible["headers"]
    if isinstance(headers, dict):
        visible["headers"] = {name: REDACTED if is_secret(name) else value for name, value in headers.items()}
    if "cookies" in visible:
        visible["cookies"] = [REDACTED]
    callback = visible.get(payload.KEY)
    if isinstance(callback, dict):
        callback["token"] = redact(str(callback["token"]))
    return visible


def _query(query: str) -> dict[str, str]:
    """Lambda joins repeated parameters by commas."""
    values: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, errors="replace", max_num_fields=None):
        values[name] = f"{values[name]},{value}" if name in values else value
    return values


def _as_text(body: bytes, content_type: str) -> str | None:
    """The body as text where its type says so and it is UTF-8, as Lambda does; None asks for base64."""
    essence = content_type.partition(";")[0].strip().lower()
    if not (essence.startswith(_TEXTUAL) or essence.endswith(("+json", "+xml"))):
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
