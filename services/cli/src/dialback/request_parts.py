"""From what is typed after `invoke` and `compare` to a request: target, method, headers, body."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Sequence
from urllib.parse import quote

from dialback.errors import UsageProblem
from dialback.exchange import FileBody, Headers, Outgoing

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
AGENT = (b"User-Agent", b"dialback")


def target(name: str, path: str) -> bytes:
    """`/@NAME/PATH`: what is no URL character is percent-encoded, everything else is left as it was typed."""
    encoded = quote(path.lstrip("/") if path.startswith("/") else path, safe="!#$%&'()*+,/:;=?@[]~-._^|\\\"<>{}`")
    return f"/@{name}/{encoded.partition('#')[0]}".encode("ascii")


def headers(given: Sequence[str]) -> Headers:
    """`Name: value` each; UsageProblem otherwise."""
    parsed = []
    for line in given:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name):
            raise UsageProblem(f"-H: {line!r} is not a header", hint="write -H 'name: value'")
        if name.lower() == "host":
            raise UsageProblem("-H: host follows from the address and cannot be set")
        parsed.append((name.encode(), value.strip().encode("utf-8")))
    return tuple(parsed)


def body(given: str | None) -> bytes | FileBody | None:
    """Text as it is, `@FILE` streamed from a file, `@-` from standard input; UsageProblem when it cannot be read."""
    if given is None or not given.startswith("@"):
        return None if given is None else os.fsencode(given)
    if given == "@-":
        return FileBody(sys.stdin.fileno(), _length(sys.stdin.fileno()))
    try:
        fd = os.open(given[1:], os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as failure:
        raise UsageProblem(f"-d: cannot read {given[1:]!r}: {getattr(failure, 'strerror', failure)}") from None
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise UsageProblem(f"-d: {given[1:]!r} is a folder")
    return FileBody(fd, _length(fd))


def _length(fd: int) -> int | None:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        return None
    return max(0, found.st_size - os.lseek(fd, 0, os.SEEK_CUR))


def outgoing(name: str, path: str, method: str | None, data: str | None, given: Sequence[str]) -> Outgoing:
    """The request; POST when there is a body and no method."""
    verb = method or ("GET" if data is None else "POST")
    if not _TOKEN.fullmatch(verb):
        raise UsageProblem(f"-X: {verb!r} is not a method")
    fields = headers(given)
    if not any(field.lower() == b"user-agent" for field, _ in fields):
        fields = (AGENT, *fields)
    return Outgoing(verb.encode(), target(name, path), fields, body(data))
