"""What can be set at the edge. Frozen; an unknown key or a value out of range is an error."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    model_validator,
)

Network = IPv4Network | IPv6Network
Authority = Annotated[str, StringConstraints(pattern=r"^[^\s:/]+$|^\[[0-9A-Fa-f:.]+\]$", to_lower=True)]


class Frozen(BaseModel):
    """Base of the settings: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EdgeLimits(Frozen):
    """How much of anything one client may have. All in bytes, except the two counts."""

    request_line: PositiveInt = 8 * 1024
    """Longer request lines are answered 414."""
    head: PositiveInt = 64 * 1024
    """Larger heads are answered 431."""
    fields: PositiveInt = 128
    """More header fields than these are answered 431."""
    body: PositiveInt | None = None
    """Larger request bodies are answered 413. None: no limit."""
    pipelined: PositiveInt = 64 * 1024
    """What is read ahead of the request that is being answered."""
    upload_queue: PositiveInt = 64 * 1024
    """Reading from a client pauses while more of its body than this waits for the upstream."""
    write_buffer: PositiveInt = 64 * 1024
    """The upstream gets no more credit while more than this waits for the client to read."""
    discard: PositiveInt = 64 * 1024
    """An unread rest of a body up to this size is read and dropped to save the connection; above it, that closes."""
    linger: PositiveInt = 1024 * 1024
    """What is read and dropped at most after the last answer, so that the client gets to see it."""
    connections: PositiveInt | None = None
    """Clients connected at once; further ones wait in the kernel. None: what the process's file limit allows."""
    backlog: PositiveInt = 1024


class EdgeTimeouts(Frozen):
    """In seconds; 0 means none. They are looked at once a `tick`, so each may fire that much later."""

    head: NonNegativeFloat = 10.0
    """From a request's first byte to the end of its head; then 408."""
    body: NonNegativeFloat = 30.0
    """While a body is awaited, `body_bytes` must come in each span of this length; else 408, or a truncation."""
    body_bytes: PositiveInt = 512
    idle: NonNegativeFloat = 75.0
    """How long a connection may stay open between requests."""
    write_stall: NonNegativeFloat = 60.0
    """A client that reads nothing at all for this long while bytes wait for it is cut off."""
    linger: PositiveFloat = 2.0
    """How long bytes are read and dropped after the last answer."""
    tick: PositiveFloat = 0.5


class LinkSettings(Frozen):
    """Where the invoker is: a Unix socket, or a TCP address."""

    path: Path | None = None
    host: str | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    key_file: Path | None = None
    """A file, readable by its owner alone, with the key that both ends prove to know."""
    first_wait: NonNegativeFloat = 1.0
    """Seconds that the start waits for the first link; after that the edge serves 503 until there is one."""
    connect_timeout: PositiveFloat = 5.0
    backoff_min: PositiveFloat = 0.05
    backoff_max: PositiveFloat = 2.0
    ping_interval: PositiveFloat = 15.0
    """TCP only: seconds between pings; after `ping_missed` of them without an answer the link counts as lost."""
    ping_missed: PositiveInt = 2

    @property
    def where(self) -> str:
        """The address, for people."""
        return str(self.path) if self.path is not None else f"{self.host}:{self.port}"

    @model_validator(mode="after")
    def _one_address(self) -> "LinkSettings":
        tcp = self.host is not None and self.port is not None
        half = (self.host is None) != (self.port is None)
        if half or tcp == (self.path is not None):
            raise ValueError("a link needs either `path` (a Unix socket) or both `host` and `port`")
        if tcp and self.key_file is None:
            raise ValueError("a link over TCP needs a `key_file`: whoever can reach the port could speak otherwise")
        if self.backoff_min > self.backoff_max:
            raise ValueError("backoff_min is above backoff_max")
        return self


class EdgeSettings(Frozen):
    """The edge's front."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    share_port: bool = False
    """Whether other edges of this machine may listen on the same port; the kernel spreads connections over them."""
    limits: EdgeLimits = EdgeLimits()
    timeouts: EdgeTimeouts = EdgeTimeouts()
    trusted_proxies: tuple[Network, ...] = ()
    """Peers whose `x-forwarded-*` fields are believed and extended; everybody else's are dropped."""
    authorities: tuple[Authority, ...] | None = None
    """Hosts that are served, without port; `.example.org` takes every name below it. Others get 421. None: all."""
    early_hints: bool = True
    """Whether a function's 103 responses are forwarded."""
