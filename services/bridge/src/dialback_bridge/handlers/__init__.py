"""One module for each style of user code. `base` is the seam: a style is a class with `start`, `run` and `stop`."""

from __future__ import annotations

from ..entry import Entry, Kind
from .base import Handler
from .threads import Threads


def make_handler(entry: Entry, threads: Threads) -> Handler:
    """The handler for `entry`. Synchronous code runs on `threads`."""
    # A worker serves one style: it loads that one alone.
    if entry.kind is Kind.ASGI:
        from .asgi import AsgiHandler

        return AsgiHandler(entry.target)
    if entry.kind is Kind.WSGI:
        from .wsgi import WsgiHandler

        return WsgiHandler(entry.target, threads)
    if entry.kind is Kind.HTTP:
        from .request_handler import RequestHandlerHandler

        return RequestHandlerHandler(entry.target, threads)
    if entry.kind is Kind.FETCH:
        from .fetch import FetchHandler

        return FetchHandler(entry.target, threads)
    from .lambda_function import LambdaHandler

    return LambdaHandler(entry.target, threads)


__all__ = ["Handler", "make_handler"]
