"""The seam between an invocation and the style in which the user's code wants to be called."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..exchange import Exchange


class HandlerFailed(Exception):
    """The user's code did not give a usable response. What it did wrong is the text; its own exception is the cause."""


class StartFailed(Exception):
    """The user's code refused to start."""


class Handler(ABC):
    """Calls one style of user code. Many `run`s are under way at once.

    A handler gives its whole response and then calls `exchange.finish()`. When nobody wants the response any more,
    `exchange.read` and `exchange.write` raise ClientGone and `exchange.left()` returns; the code has `cancel_grace`
    seconds to notice, then the task that runs `run` is cancelled.
    """

    async def start(self) -> None:  # noqa: B027 - most styles have nothing to start
        """Before the first invocation. Raises StartFailed."""

    async def stop(self) -> None:  # noqa: B027 - as above
        """After the last invocation."""

    @abstractmethod
    async def run(self, exchange: Exchange) -> None:
        """Serve one request. Whatever it raises ends the response as failed."""
