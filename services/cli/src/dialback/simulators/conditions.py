"""What is to be simulated; any of it together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dialback.simulators import units
from dialback.terminal import milliseconds, size

BLOCK = 4096
"""Bytes of nginx's buffers on most machines (proxy_buffers: one memory page)."""


@dataclass(frozen=True, slots=True)
class Drop:
    """When a connection is cut: after so many bytes of response, or so many seconds; one of both is None."""

    size: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Conditions:
    """None and False: not simulated."""

    slow_client: float | None = None
    """Bytes a second that each client reads."""
    latency: float | None = None
    """Seconds that a round trip takes longer."""
    drop_after: Drop | None = None
    buffering_proxy: bool = False

    @property
    def any(self) -> bool:
        """Whether there is something to simulate."""
        return self != Conditions()

    def lines(self) -> tuple[str, ...]:
        """What is simulated, in words."""
        said = []
        if self.buffering_proxy:
            said.append(f"a proxy that buffers: nothing passes before {size(BLOCK)} are there, or the end")
        if self.slow_client is not None:
            said.append(f"slow clients: each reads {size(int(self.slow_client))} a second")
        if self.latency is not None:
            said.append(f"a long way: {milliseconds(self.latency * 1000)} more for each round trip")
        if self.drop_after is not None and self.drop_after.size is not None:
            said.append(f"a bad network: each connection is cut after {size(self.drop_after.size)} of response")
        if self.drop_after is not None and self.drop_after.seconds is not None:
            said.append(f"a bad network: each connection is cut after {milliseconds(self.drop_after.seconds * 1000)}")
        return tuple(said)


def drop(value: object, folder: Path) -> Drop:
    """`64kB` or `3s`. ValueError."""
    try:
        return Drop(seconds=units.duration(value, folder))
    except ValueError as no_time:
        try:
            return Drop(size=units.size(value, folder))
        except ValueError as no_size:
            if "range" in str(no_time) or not isinstance(value, str):
                raise no_time from None
            if "range" in str(no_size):
                raise
            raise ValueError(f"{value!r} is neither a size nor a time: write 64kB or 3s") from None
