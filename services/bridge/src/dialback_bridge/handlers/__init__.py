"""One module for each style of user code. `base` is the seam: a style is a class with `start`, `run` and `stop`."""

from __future__ import annotations

from ..entry import Entry, Kind
from .asgi import AsgiHandler
from .base import Handler
from .lambda_function import LambdaHandler
from .threads import Threads


def make_handler(entry: Entry, threads: Threads) -> Handler:
    """The handler for `entry`. Synchronous code runs on `threads`."""
    if entry.kind is Kind.ASGI:
        return AsgiHandler(entry.target)
    return LambdaHandler(entry.target, threads)


__all__ = ["Handler", "make_handler"]
