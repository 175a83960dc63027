"""Several sources as one stream: fan-in."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from .both_ways import BothWays
from .fan import Fan
from .source import Source, check_source

BUFFER = 16
"""Items that wait for the consumer at most: of all sources, or of each where their order is kept."""


def merge(*sources: Source, order: str = "arrival") -> Merged:
    """One stream of what all `sources` give; they run at the same time.

    A source is an iterable, asynchronous or not (that one runs in a thread), or an awaitable, which gives one item.
    `order="arrival"` gives items as they come, and all sources pause when 16 wait for the consumer; `order="source"`
    gives all of the first source, then all of the second, while the others run ahead by at most 16 items each.

    When a source fails, the others are cancelled and its exception is raised; when the consumer leaves, all are. Either
    way the `finally` of each has run before the stream is closed. Raises ValueError for another `order`.

        return event_stream(merge(prices("a"), prices("b"), prices("c")))
    """
    if order not in ("arrival", "source"):
        raise ValueError(f"merge: order is 'arrival' or 'source', not {order!r}")
    for source in sources:
        check_source(source)
    return Merged(sources, order)


class Merged(BothWays):
    """Made by `merge`."""

    def __init__(self, sources: tuple[Source, ...], order: str) -> None:
        super().__init__(*sources)
        self._order = order

    def items(self) -> AsyncGenerator[Any, None]:
        return _merged(self.sources, self._order)


async def _merged(sources: tuple[Source, ...], order: str) -> AsyncGenerator[Any, None]:
    fan = Fan(sources, one_lane=order == "arrival", size=BUFFER)
    try:
        while not fan.over:
            found = fan.take()
            if found is None:
                await fan.wait()
            else:
                yield found[0]
    finally:
        await fan.stop()
