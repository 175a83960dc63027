"""Addresses that a service listens on or dials: a Unix socket's path, or host and port."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

LONGEST_UNIX_PATH = 107
"""Bytes that Linux keeps for the path of a Unix socket."""


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix socket. `path` None: the run folder's own one."""

    path: Path | None

    def __str__(self) -> str:
        return "unix" if self.path is None else f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """Host and port; 0 picks a free port where one listens. `tls`: what is said there is encrypted."""

    host: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        return f"{'tls' if self.tls else 'tcp'}://{bracketed(self.host)}:{self.port}"


Address = UnixAddress | TcpAddress


def bracketed(host: str) -> str:
    """An IPv6 address in brackets, anything else as it is."""
    return f"[{host}]" if ":" in host else host


def parse_address(text: str, *, tls: bool = False) -> Address:
    """`unix`, `unix:/path`, `tcp://host:port`, or with `tls` also `tls://host:port`; ValueError says what is wrong."""
    if text == "unix":
        return UnixAddress(None)
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        path = path[2:] if path.startswith("///") else path
        if not path.startswith("/") or "\0" in path:
            raise ValueError(f"{text!r}: a Unix socket is written unix:/absolute/path")
        if len(path.encode()) > LONGEST_UNIX_PATH:
            raise ValueError(f"the path of a Unix socket has at most {LONGEST_UNIX_PATH} bytes")
        return UnixAddress(Path(path))
    encrypted = tls and text.startswith("tls://")
    if not encrypted and not text.startswith("tcp://"):
        known = "unix, unix:/path, tcp://host:port or tls://host:port" if tls else "unix, unix:/path or tcp://host:port"
        raise ValueError(f"{text!r} is not an address: write {known}")
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError as bad:
        raise ValueError(f"{text!r}: {bad}") from None
    if not parts.hostname or port is None or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"{text!r} is not an address: write {parts.scheme}://host:port")
    return TcpAddress(parts.hostname, port, encrypted)
