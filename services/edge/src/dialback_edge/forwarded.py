"""The fields that a request is relayed with: what speaks to this hop alone is dropped, then ours are set."""

import os
from functools import lru_cache
from ipaddress import ip_address

from dialback_wire.fields import HOP_BY_HOP, RESERVED_PREFIX, RUN_TICKET, without
from dialback_wire.messages import Field, Fields
from dialback_wire.randomness import Randomness
from dialback_wire.trace_context import PARENT, STATE, is_traceparent

from .request_head import RequestHead
from .settings import Network

# Besides the hop-by-hop fields: what this hop answers (Expect), what it alone may say (the forwarding fields, a length
# or trailer that the relayed framing makes anew), and the settings of an upgrade that is not served.
_DROPPED = HOP_BY_HOP | {
    b"expect",
    b"host",
    b"trailer",
    b"forwarded",
    b"http2-settings",
    b"content-length",
}
_NOTHING: frozenset[bytes] = frozenset()
_random = Randomness(os.urandom)

_FORWARDED_PREFIX = b"x-forwarded-"
_EXTENDED = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port")


class Peer:
    """Who is at the other end of a connection, and whether what it says about others is believed."""

    __slots__ = ("address", "ip", "trusted")

    def __init__(self, address: tuple[str, int], trusted_proxies: tuple[Network, ...] = ()) -> None:
        ip = ip_address(address[0].partition("%")[0])
        mapped = getattr(ip, "ipv4_mapped", None)
        ip = mapped or ip
        self.ip = str(ip).encode()
        host = f"[{ip}]" if ip.version == 6 else str(ip)
        self.address = f"{host}:{address[1]}".encode()
        self.trusted = any(ip in network for network in trusted_proxies)


def is_dropped(name: bytes) -> bool:
    """Whether a client's field never reaches a function as it came. `_` counts as `-`, as behind CGI and WSGI."""
    if b"_" in name:
        name = name.replace(b"_", b"-")
        return name in _DROPPED or name.startswith((_FORWARDED_PREFIX, RESERVED_PREFIX))
    if name in _DROPPED or name.startswith(_FORWARDED_PREFIX):
        return True
    return name.startswith(RESERVED_PREFIX) and name != RUN_TICKET


_REMEMBERED_NAME = 64
_is_dropped = lru_cache(maxsize=1024)(is_dropped)
"""The same, remembered: nearly all requests have the same few names, and these are short."""


def relayed_fields(head: RequestHead, peer: Peer, authority: bytes) -> tuple[Fields, bytes]:
    """The fields for the upstream, Host first, and the scheme that the client used."""
    if head.relayed is None:
        head.relayed = _without_new_trace(head, peer, authority)
    fields, scheme, traced = head.relayed
    return (fields if traced else (*fields, (PARENT, new_traceparent()))), scheme


def _without_new_trace(head: RequestHead, peer: Peer, authority: bytes) -> tuple[Fields, bytes, bool]:
    """What does not change from request to request of a connection; last, whether the client brought a trace."""
    kept: list[Field] = [(b"host", authority)]
    if head.has_length and head.body_length is not None:
        kept.append((b"content-length", b"%d" % head.body_length))
    parent = head.traceparent
    named = frozenset(option.strip() for option in head.connection.split(b",")) if head.connection else _NOTHING
    if PARENT in named:
        parent = b""
    for field in head.fields:
        name = field[0]
        dropped = _is_dropped(name) if len(name) <= _REMEMBERED_NAME else is_dropped(name)
        if not dropped and name not in named:
            kept.append(field)
    before = _believed(head) if peer.trusted else {}
    scheme = before.get(b"x-forwarded-proto", b"http")
    chain = before.get(b"x-forwarded-for")
    kept += (
        (b"x-forwarded-for", peer.ip if not chain else chain + b", " + peer.ip),
        (b"x-forwarded-proto", scheme),
        (b"x-forwarded-host", before.get(b"x-forwarded-host", authority)),
        (b"x-forwarded-port", before.get(b"x-forwarded-port") or _port(authority, scheme)),
    )
    fields = tuple(kept)
    traced = is_traceparent(parent)
    if parent and not traced:
        # The state of a trace that is none means nothing.
        fields = without(fields, PARENT, STATE)
    return fields, scheme, traced


def new_traceparent() -> bytes:
    """W3C trace context, version 00, not sampled: this hop starts a trace that others may record."""
    made = _random(24).hex()
    return f"00-{made[:32]}-{made[32:]}-00".encode()


def _believed(head: RequestHead) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for name, value in head.fields:
        if name in _EXTENDED:
            found[name] = found[name] + b", " + value if name in found else value
    if found.get(b"x-forwarded-proto") not in (None, b"http", b"https"):
        del found[b"x-forwarded-proto"]
    return found


def _port(authority: bytes, scheme: bytes) -> bytes:
    _, colon, port = authority.rpartition(b":")
    if colon and port.isdigit():
        return port
    return b"443" if scheme == b"https" else b"80"
