"""One module for each style of user code. `base` is the seam: a style is a class with `start`, `run` and `stop`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..entry import Entry, Kind
from .base import Handler
from .threads import Threads


def load(kind: Kind) -> Callable[[Any, Threads], Handler]:
    """What makes handlers of that style. A worker serves one style: it loads that one alone."""
    if kind is Kind.ASGI:
        from .asgi import AsgiHandler

        return lambda target, _: AsgiHandler(target)
    if kind is Kind.WSGI:
        from .wsgi import WsgiHandler

        return WsgiHandler
    if kind is Kind.HTTP:
        from .request_handler import RequestHandlerHandler

        return RequestHandlerHandler
    if kind is Kind.FETCH:
        from .fetch import FetchHandler

        return FetchHandler
    from .lambda_function import LambdaHandler

    return LambdaHandler


def make_handler(entry: Entry, threads: Threads) -> Handler:
    """The handler for `entry`. Synchronous code runs on `threads`."""
    return load(entry.kind)(entry.target, threads)


__all__ = ["Handler", "load", "make_handler"]
