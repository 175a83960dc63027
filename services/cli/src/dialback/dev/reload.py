"""The line that is put into HTML pages, so that they show what is wrong and load themselves anew after a save.

It is put behind `<head>`, as soon as that has come and without holding anything back; a page without one gets it at its
end. What cannot be changed is left alone: encoded bodies, parts of a file, answers without a body. A
Content-Security-Policy that forbids the script is obeyed, and told once.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from dialback.dev.prefix import CLIENT
from dialback_edge.error_pages import prefers_html
from dialback_edge.hooks import BodyFilter
from dialback_edge.request_head import RequestHead
from dialback_wire.fields import first
from dialback_wire.messages import Head

LOOKED_AT = 64 * 1024
"""Bytes in which `<head>` is looked for."""
_HEAD = re.compile(rb"<head(\s[^>]*)?>", re.IGNORECASE)
_DROPPED = frozenset({b"content-length", b"etag", b"last-modified", b"content-md5", b"digest", b"content-digest"})


class Reloading:
    """The edge's filter hook. `version` says which deployment serves; `blocked` is told the policy of a page whose
    script it forbids.
    """

    def __init__(self, version: Callable[[], str], blocked: Callable[[str], None]) -> None:
        self._version = version
        self._blocked = blocked

    def __call__(self, request: RequestHead, head: Head) -> tuple[Head, BodyFilter] | None:
        """The answer's head and filter, None for what stays as it is."""
        if request.method != b"GET" or not _is_page(request) or not _is_html(head):
            return None
        policy = first(head.fields, b"content-security-policy")
        if policy is not None and _forbids(policy):
            self._blocked(policy.decode("latin-1"))
            return None
        fields = tuple((name, value) for name, value in head.fields if name.lower() not in _DROPPED)
        return Head(head.status, fields), Injection(script(self._version()))


def script(version: str, problem: int = 0) -> bytes:
    """The line itself: which version the page is of, and which problem it shows itself (0: none)."""
    return f'<script src="{CLIENT}" data-version="{version}" data-problem="{problem or ""}" async></script>'.encode()


class Injection:
    """Puts `line` into one body, once."""

    def __init__(self, line: bytes) -> None:
        self._line = line
        self._seen: bytes | None = b""
        """What came while the place is looked for."""

    def data(self, data: bytes) -> bytes:
        """The piece, with the line in it if its place is there."""
        if self._seen is None:
            return data
        before = len(self._seen)
        self._seen += data
        found = _HEAD.search(self._seen)
        if found is not None:
            # It ends in this piece, for the pieces before did not hold it whole.
            at = found.end() - before
            self._seen = None
            return data[:at] + self.end() + data[at:]
        if len(self._seen) > LOOKED_AT:
            self._seen = None
        return data

    def end(self) -> bytes:
        """The line, unless it is in the body already."""
        line, self._line = self._line, b""
        return line


def _is_page(request: RequestHead) -> bool:
    """Whether a browser shows the answer as a page, and no script takes it apart."""
    wanted = first(tuple(request.fields), b"sec-fetch-dest")
    return wanted in (b"document", b"iframe") if wanted is not None else prefers_html(request.accept)


def _is_html(head: Head) -> bool:
    kind = first(head.fields, b"content-type") or b""
    if kind.partition(b";")[0].strip().lower() != b"text/html" or head.status in (204, 206, 304):
        return False
    coding = first(head.fields, b"content-encoding")
    return coding is None or coding.strip().lower() == b"identity"


def _forbids(policy: bytes) -> bool:
    """Whether a script of the page's own origin may not run."""
    rules = {words[0].lower(): words[1:] for rule in policy.split(b";") if (words := rule.split())}
    allowed = next((rules[name] for name in (b"script-src-elem", b"script-src", b"default-src") if name in rules), None)
    return allowed is not None and not any(source in (b"'self'", b"*", b"http:") for source in allowed)
