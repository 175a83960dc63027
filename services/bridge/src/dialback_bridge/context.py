"""The invocation that user code runs for: its id, its deadline, whether its client is still there.

The context variable that says whose output it is (`log_capture`) carries it, so tasks inherit it and the bridge's
threads get it. What it offers to wait for can be waited for anywhere: `await` it in asynchronous code, call it in
synchronous code.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from dialback_wire.messages import Reason

from . import log_capture

if TYPE_CHECKING:
    from .background import Background
    from .exchange import Exchange

T = TypeVar("T")


class NoInvocation(RuntimeError):
    """The code does not run for an invocation: at import, or in a thread of the user's own."""


def from_anywhere(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> Any:
    """`coroutine` of `loop`, for whoever calls: on that loop something to await, in a thread its result.

    On another loop (`asyncio.run` in a thread) something to await there.
    """
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()
    if here is loop:
        return coroutine
    return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))


class Disconnected:
    """Set when nobody wants the response any more: the client left, a time-out fired, the worker stops."""

    def __init__(self, exchange: Exchange, loop: asyncio.AbstractEventLoop) -> None:
        self._exchange = exchange
        self._loop = loop

    def is_set(self) -> bool:
        """Whether the client is gone. A client that asked for no body (HEAD) is not gone."""
        return self._exchange.gone not in (None, Reason.NO_BODY)

    def wait(self, timeout: float | None = None) -> Any:
        """Wait for it, at most `timeout` seconds; True when it is set.

        `await` it in asynchronous code; in synchronous code the call itself waits. False as well when the response is
        complete, after which a client has nothing to leave from.
        """
        return from_anywhere(self._loop, self._wait(timeout))

    async def _wait(self, timeout: float | None) -> bool:
        try:
            await asyncio.wait_for(self._exchange.left(), timeout)
        except asyncio.TimeoutError:
            pass
        return self.is_set()


class CurrentInvocation(log_capture.Scope):
    """One invocation, as its own code sees it."""

    # User code may keep attributes of its own on it, or it as a weak key.
    __slots__ = ("__dict__", "__weakref__", "_exchange", "background", "loop")

    def __init__(self, id: str, exchange: Exchange, background: Background) -> None:
        super().__init__(id)
        self._exchange = exchange
        self.background = background
        self.loop = asyncio.get_running_loop()
        """The loop on which the bridge runs."""

    @property
    def deadline(self) -> float | None:
        """When the platform will end it, in Unix seconds; None: never."""
        deadline_ms = self._exchange.delivery.deadline_ms
        return None if deadline_ms is None else deadline_ms / 1000

    @property
    def disconnected(self) -> Disconnected:
        """To wait until nobody wants the response any more."""
        return Disconnected(self._exchange, self.loop)

    @property
    def is_disconnected(self) -> bool:
        """Whether nobody wants the response any more."""
        return self.disconnected.is_set()

    def remaining(self) -> float | None:
        """Seconds until the deadline, never negative; None: there is no deadline."""
        deadline = self.deadline
        return None if deadline is None else max(0.0, deadline - time.time())

    def __repr__(self) -> str:
        return f"CurrentInvocation(id={self.id!r}, deadline={self.deadline!r})"


def find_invocation() -> CurrentInvocation | None:
    """The invocation that this code runs for; None outside of any."""
    found = log_capture.current.get()
    return found if isinstance(found, CurrentInvocation) else None


def current_invocation() -> CurrentInvocation:
    """The invocation that this code runs for. Raises NoInvocation outside of any.

    A thread of your own has it when it was started by `asyncio.to_thread`, or runs in a copy of the context
    (`contextvars.copy_context().run`).
    """
    found = find_invocation()
    if found is None:
        raise NoInvocation("no invocation: this code runs outside of any request")
    return found
