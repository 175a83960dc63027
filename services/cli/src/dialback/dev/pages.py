"""Error pages under `dialback dev`: they show the user's own source. A browser gets HTML, a program JSON."""

from __future__ import annotations

import html
import json

from dialback.dev.problem import Place, Problem
from dialback.dev.reload import script
from dialback.dev.state import State
from dialback_edge.error_pages import error_answer, phrase, prefers_html
from dialback_wire.messages import Fields, Head

NOT_THERE = "function_not_found"
"""What requests are told while no version has ever started."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 6vh auto; padding: 0 1.25rem;
  background: light-dark(#fff, #16181d); color: light-dark(#1c1e21, #e6e8eb); }}
h1 {{ font: 600 1.25rem/1.4 ui-monospace, monospace; color: light-dark(#b3261e, #ff7b72); white-space: pre-wrap;
  overflow-wrap: anywhere; }}
.where {{ font-family: ui-monospace, monospace; color: light-dark(#0b57a4, #6cb6ff); margin: 1.25rem 0 .25rem; }}
pre {{ overflow: auto; margin: 0; padding: .75rem; border-radius: 6px; background: light-dark(#f4f5f7, #0d0f13);
  font: 13px/1.5 ui-monospace, monospace; color: light-dark(#5c6370, #9aa1ac); }}
pre b {{ color: light-dark(#1c1e21, #fff); }}
pre i {{ font-style: normal; color: light-dark(#b3261e, #ff7b72); }}
small, summary {{ color: light-dark(#5c6370, #9aa1ac); }}
details {{ margin-top: 1.5rem; }}
</style>
{script}
</head>
<body>
<small>{kicker}</small>
<h1>{title}</h1>
{places}
{details}
<p>{hint}</p>
<p><small>{foot}</small></p>
</body>
</html>
"""
_POLICY = (
    b"default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'; frame-ancestors 'none'"
)


class ErrorPages:
    """The edge's hook for error pages."""

    def __init__(self, state: State) -> None:
        self._state = state

    def __call__(
        self,
        status: int,
        code: str,
        message: str,
        request_id: str,
        *,
        accept: bytes = b"",
        retry_after: int = 0,
        extra: Fields = (),
    ) -> tuple[Head, bytes]:
        """With the problem that is behind the error, if one is known."""
        state = self._state
        problem = state.raised.get(request_id)
        number = 0
        if problem is None and state.problem is not None and not state.version and status in (404, 502, 503):
            # No version was ever good: whatever was asked for, this is the answer.
            problem, number, status, code = state.problem, state.number, 500, "broken_save"
        if problem is None:
            usual = error_answer(status, code, message, request_id, accept=accept, retry_after=retry_after, extra=extra)
            return _reloading(*usual, state.version) if prefers_html(accept) else usual
        if prefers_html(accept):
            kind, body = b"text/html; charset=utf-8", page(problem, status, request_id, state.version, number)
        else:
            said = {"code": code, "message": problem.title, "id": request_id, **_told(problem)}
            kind, body = b"application/json", json.dumps({"error": said}).encode() + b"\n"
        fields: Fields = (
            (b"content-type", kind),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            (b"vary", b"accept"),
            (b"x-content-type-options", b"nosniff"),
            (b"content-security-policy", _POLICY),
            *extra,
        )
        return Head(status, fields), body


def _reloading(head: Head, body: bytes, version: str) -> tuple[Head, bytes]:
    """The edge's own page, which goes when a save has mended what it tells of."""
    body = body.replace(b"</title>\n", b"</title>\n" + script(version) + b"\n", 1)
    changed = {b"content-length": b"%d" % len(body), b"content-security-policy": _POLICY}
    return Head(head.status, tuple((name, changed.get(name, value)) for name, value in head.fields)), body


def _told(problem: Problem) -> dict[str, object]:
    found = problem.as_dict()
    return {key: found[key] for key in ("file", "line", "source") if found[key] is not None}


def page(problem: Problem, status: int, request_id: str, version: str, number: int) -> bytes:
    """The HTML of a problem."""
    kicker = f"{status} {phrase(status)}" if problem.kind == "request" else "The function cannot start."
    details = ""
    if problem.details:
        lines = html.escape("\n".join(problem.details))
        opened = "" if problem.places else " open"
        details = f"<details{opened}><summary>Everything that was said</summary><pre>{lines}</pre></details>"
    foot = f"<code>{html.escape(request_id)}</code> · shown by dialback dev; a save loads this page anew"
    return _PAGE.format(
        title=html.escape(problem.title),
        script=script(version, number).decode(),
        kicker=html.escape(kicker),
        places="\n".join(_place(place) for place in reversed(problem.places)),
        details=details,
        hint=html.escape(problem.hint),
        foot=foot,
    ).encode("utf-8", "replace")


def _place(place: Place) -> str:
    function = f" in {place.function}" if place.function and place.function != "<module>" else ""
    lines = []
    for number, text in place.lines:
        shown = html.escape(f"{number:>5} | {text.expandtabs(4)}")
        lines.append(f"<b>&gt;{shown}</b>" if number == place.line else f" {shown}")
        if number == place.line and place.column is not None:
            start = len(text[: place.column].expandtabs(4))
            marks = max(1, len(text[: place.end].expandtabs(4)) - start)
            lines.append(f"       | {' ' * start}<i>{'^' * marks}</i>")
    where = html.escape(f"{place.file}:{place.line}{function}")
    return f'<p class="where">{where}</p>\n<pre>' + "\n".join(lines) + "</pre>"
