"""The payload: a Function URL event (format 2.0), and the one key that Dialback adds to it."""

from __future__ import annotations

import base64
import binascii
import functools
import json
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from dialback_wire import payload

Event = dict[str, Any]

_TEXT_TYPES = ("text/", "application/json", "application/javascript", "application/xml", "application/x-ndjson")

_TOKEN = re.compile(r"[0-9A-Za-z_.~+/=-]{1,512}")


class EventError(Exception):
    """The payload is not what the handler or the bridge needs."""


@dataclass(slots=True)
class Stamp:
    """What the invoker stamped into the payload for the bridge."""

    invocation: str
    url: str
    token: str = field(repr=False)
    body: str
    """Where the request's body is: one of `payload.BODY_NONE`, `BODY_INLINE`, `BODY_STREAM`."""


class HttpRequest(NamedTuple):
    """An event as a request, for handlers that speak HTTP."""

    method: str
    scheme: str
    http_version: str
    root_path: str
    """The prefix under which the function was reached, percent-decoded; empty when there is none."""
    raw_path: bytes
    """The whole path, prefix included, percent-encoded."""
    path: str
    """The whole path, decoded."""
    query: bytes
    headers: list[tuple[bytes, bytes]]
    client: tuple[str, int] | None
    server: tuple[str, int]

    @property
    def decoded_path(self) -> bytes:
        """The whole path, percent-decoded and no more."""
        return unquote_to_bytes(self.raw_path)


_decode = json.JSONDecoder().raw_decode
_JSON_SPACE = " \t\n\r"


def decode_event(body: bytes) -> Any:
    """The event in a payload's bytes. Raises EventError."""
    try:
        # Not json.loads, which looks for other encodings, and for space around the value with two patterns.
        text = body.decode().strip(_JSON_SPACE)
        event, end = _decode(text)
        if end < len(text):
            raise ValueError(f"something follows its value (char {end})")
        return event
    except (ValueError, RecursionError) as error:
        raise EventError(f"the payload is not JSON: {error}") from None


def take_stamp(event: Any) -> Stamp | None:
    """Take Dialback's key out of `event`, so that user code never sees it. None: to be answered buffered.

    Raises EventError when the key is of another version or incomplete.
    """
    if not isinstance(event, dict) or payload.KEY not in event:
        return None
    stamp = event.pop(payload.KEY)
    try:
        if stamp["version"] != payload.VERSION:
            raise EventError(f"the payload's version is {stamp['version']!r}; this bridge reads {payload.VERSION}")
        body = stamp["body"]
        if body not in (payload.BODY_NONE, payload.BODY_INLINE, payload.BODY_STREAM):
            raise EventError("the payload does not say where the request's body is")
        token = stamp["token"]
        if not _TOKEN.fullmatch(token):
            raise EventError("the payload's token is malformed")
        return Stamp(str(stamp["invocation"]), str(stamp["url"]), token, body)
    except (KeyError, TypeError):
        raise EventError("the payload's callback is incomplete") from None


def inline_body(event: Event) -> bytes:
    """The body that travels inside the event. Raises EventError for broken base64."""
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(body).encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise EventError(f"the event's body is not base64: {error}") from None


def pack_body(body: bytes, content_type: str) -> tuple[str, bool]:
    """A body as an event or a response value carries it: text, and whether that is base64."""
    if content_type.lower().startswith(_TEXT_TYPES) or "charset=utf-8" in content_type.lower():
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True


def http_request(event: Any) -> HttpRequest:
    """`event` as a request. Raises EventError when it is not a Function URL event."""
    try:
        http = event["requestContext"]["http"]
        method, path = str(http["method"]), str(event.get("rawPath") or http["path"])
        headers = _fields(event)
        named = dict(headers)
        root_path, prefix = _prefix(named.get(b"x-forwarded-prefix", b""))
        raw_path = prefix + path.encode("ascii", "replace")
        scheme = "https" if named.get(b"x-forwarded-proto") == b"https" else "http"
        source = http.get("sourceIp")
        return HttpRequest(
            method=method.upper(),
            scheme=scheme,
            http_version=str(http.get("protocol", "HTTP/1.1")).partition("/")[2] or "1.1",
            root_path=root_path,
            raw_path=raw_path,
            path=_text(raw_path),
            query=str(event.get("rawQueryString") or "").encode("latin-1", "replace"),
            headers=headers,
            client=(str(source), 0) if source else None,
            server=_server(named.get(b"host", b"localhost"), scheme),
        )
    except (KeyError, TypeError, AttributeError):
        raise EventError("the event is not an HTTP request (Function URL, payload format 2.0)") from None


def _text(encoded: bytes) -> str:
    return (unquote_to_bytes(encoded) if b"%" in encoded else encoded).decode("utf-8", "replace")


def _fields(event: Event) -> list[tuple[bytes, bytes]]:
    """The header fields, names in lower case; the event's own list of cookies becomes one field again."""
    headers = event.get("headers") or {}
    try:
        fields = [(_name(name), value.encode("latin-1")) for name, value in headers.items()]
    except UnicodeEncodeError:
        fields = [(_name(name), _bytes(value)) for name, value in headers.items()]
    cookies = event.get("cookies")
    if cookies:
        fields = [entry for entry in fields if entry[0] != b"cookie"]
        fields.append((b"cookie", _bytes("; ".join(cookies))))
    return fields


@functools.lru_cache(maxsize=256)
def _name(name: str) -> bytes:
    # Nearly all requests have the same few.
    return _bytes(name).lower()


def _bytes(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


@functools.lru_cache(maxsize=64)
def _server(authority: bytes, scheme: str) -> tuple[str, int]:
    # Remembered, as `_prefix` is: a function is reached under few names, and streams that stand for long share them.
    host, colon, port = authority.decode("latin-1").rpartition(":")
    if colon and port.isdecimal():
        return host.strip("[]"), int(port)
    return authority.decode("latin-1").strip("[]"), 443 if scheme == "https" else 80


@functools.lru_cache(maxsize=64)
def _prefix(forwarded: bytes) -> tuple[str, bytes]:
    """The prefix under which the function was reached, decoded, and as it stands in a path."""
    prefix = forwarded.rstrip(b"/")
    return _text(prefix), prefix
