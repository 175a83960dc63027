"""What a client sees when the edge itself answers: a small JSON object, or a small page for a browser."""

import html
import json
from http import HTTPStatus

from dialback_wire.messages import Fields, Head

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{status} {phrase}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 36rem; margin: 15vh auto 0; padding: 0 1.25rem;
  background: light-dark(#fff, #16181d); color: light-dark(#1c1e21, #e6e8eb); }}
h1 {{ font-size: 1.375rem; margin: 0 0 .5rem; }}
p {{ margin: 0 0 1rem; overflow-wrap: anywhere; }}
small {{ color: light-dark(#5c6370, #9aa1ac); }}
code {{ font-family: ui-monospace, monospace; }}
</style>
<h1>{status} {phrase}</h1>
<p>{message}</p>
<p><small><code>{code}</code> · <code>{id}</code></small></p>
</html>
"""
_POLICY = b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


def phrase(status: int) -> str:
    """The reason phrase of a status, or an empty text."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def prefers_html(accept: bytes) -> bool:
    """Whether an Accept field asks for HTML rather than JSON, as browsers do. No preference means JSON."""
    best: dict[bytes, float] = {}
    for part in accept.lower().split(b","):
        kind, *parameters = part.split(b";")
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition(b"=")
            if name.strip() == b"q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        best[kind.strip()] = weight
    return best.get(b"text/html", 0.0) > best.get(b"application/json", 0.0)


def error_answer(
    status: int,
    code: str,
    message: str,
    request_id: str,
    *,
    accept: bytes = b"",
    retry_after: int = 0,
    extra: Fields = (),
) -> tuple[Head, bytes]:
    """Head (with Content-Length) and body of an error."""
    if prefers_html(accept):
        kind = b"text/html; charset=utf-8"
        body = _PAGE.format(
            status=status,
            phrase=html.escape(phrase(status)),
            message=html.escape(message),
            code=html.escape(code),
            id=html.escape(request_id),
        ).encode()
    else:
        kind = b"application/json"
        body = json.dumps({"error": {"code": code, "message": message, "id": request_id}}).encode() + b"\n"
    fields: list[tuple[bytes, bytes]] = [
        (b"content-type", kind),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"vary", b"accept"),
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", _POLICY),
        *extra,
    ]
    if retry_after:
        fields.append((b"retry-after", b"%d" % retry_after))
    return Head(status, tuple(fields)), body
