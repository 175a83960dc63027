"""One request and its response, as handlers see them, whichever way the response travels.

`stream_exchange` relays each part at once, `buffered_exchange` collects; a handler cannot tell which one it has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from dialback_wire.messages import Field, Reason

from .runtime_client import Delivery
from .waiters import Waiters


class ClientGone(BrokenPipeError, ConnectionResetError):
    """Nobody wants the rest of the response, or the request's body was cut short.

    An OSError because that is what ASGI (2.4) lets `send` raise to an application whose client has left; of the two
    kinds that code written for a socket catches.
    """


class AnswerError(Exception):
    """The invocation fails with this status, if no head was sent yet. `detail` is shown to the client."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


class Exchange(ABC):
    """What a handler reads from and answers to. All methods run on the loop's thread."""

    __slots__ = ("_gone_waiters", "_on_gone", "complete", "cut", "delivery", "event", "gone", "refused", "started")

    def __init__(self, delivery: Delivery, event: Any) -> None:
        self.delivery = delivery
        self.event = event
        """The payload without Dialback's own key."""
        self.gone: Reason | str | None = None
        """Why nobody wants the response any more; None while somebody does."""
        self.cut: str | None = None
        """How the request's body was cut short, if it was."""
        self.started = False
        """Whether the head was given."""
        self.complete = False
        """Whether the handler gave all of the response."""
        self.refused: AnswerError | None = None
        """What `head` raised, when it was given a head that cannot travel."""
        self._gone_waiters = Waiters()
        self._on_gone: tuple[Callable[[], object], ...] = ()

    # --- the request --------------------------------------------------------------------------------------------------

    def forget_event(self) -> None:
        """The handler has made of the event what its code gets. A stream may go on for days; its event need not."""
        self.event.clear()

    @abstractmethod
    async def read(self) -> bytes:
        """The next part of the request's body; empty when it is over.

        Raises ClientGone when the rest of the body will not come: a body cut short never looks like one that ended.
        """

    @property
    @abstractmethod
    def body_over(self) -> bool:
        """Whether the whole body was read, so that `read` would return nothing more."""

    # --- the response -------------------------------------------------------------------------------------------------

    @abstractmethod
    def info(self, status: int, fields: list[Field]) -> None:
        """Give an interim response, 1xx."""

    @abstractmethod
    def head(self, status: int, fields: list[Field]) -> None:
        """Give the status and the header fields, names in lower case. Once, and before anything of the body.

        Raises AnswerError (502) for a head that is too large to travel. Nothing of it was sent then.
        """

    def give_all(self, body: bytes) -> bool:
        """Give the whole body and finish, if all of the response can travel as one. False: nothing was done."""
        return False

    @abstractmethod
    def give(self, data: bytes) -> bool:
        """Give a part of the body. False: await `room` before the next part."""

    @abstractmethod
    async def room(self) -> None:
        """Wait until there is room for more. Raises ClientGone."""

    async def write(self, data: bytes) -> None:
        """Give a part of the body; returns when there is room for more. Raises ClientGone."""
        if not self.give(data):
            await self.room()

    @abstractmethod
    def trailers(self, fields: list[Field]) -> None:
        """Give trailer fields, behind the body."""

    @abstractmethod
    async def answer(self, value: Any) -> None:
        """Give all of the response as a Lambda response value, by the rules of Function URLs. Raises ClientGone."""

    def finish(self) -> None:
        """Say that the response is complete. Without this it counts as broken off."""
        self.complete = True
        self._gone_waiters.wake()

    # --- whether anybody still wants it -------------------------------------------------------------------------------

    def leave(self, why: Reason | str) -> None:
        """Nobody wants the rest, because of `why`. Only the first call counts."""
        if self.gone is None:
            self.gone = why
            self._gone_waiters.wake()
            for callback in self._on_gone:
                callback()

    def when_gone(self, callback: Callable[[], object]) -> None:
        """Have `callback` called as soon as nobody wants the rest."""
        self._on_gone += (callback,)
        if self.gone is not None:
            callback()

    def forget_callbacks(self) -> None:
        """The handler has ended. What `when_gone` was given refers to this exchange: a ring, until it is let go."""
        self._on_gone = ()

    def expire(self) -> None:  # noqa: B027 - most exchanges have nothing to do
        """The time that a handler has to notice is over: what it still writes raises ClientGone in any case."""

    async def left(self) -> None:
        """Wait until nobody wants the rest, or the response is complete."""
        while self.gone is None and not self.complete:
            await self._gone_waiters.wait()
