"""The seam for traces: what dispatch tells of an invocation, when somebody wants to know. Costs nothing otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from dialback_wire.messages import Fields

if TYPE_CHECKING:
    from dialback_invoker.trace import Invocation


class InvocationSpan(Protocol):
    """One invocation, and in it the worker's part. Nothing here blocks or raises."""

    def to_worker(self, fields: Fields) -> Fields:
        """A worker is about to be given the request: its fields, with the worker's span as parent. Called again when
        a worker gave it back before it had begun.
        """

    def end(self, invocation: Invocation) -> None:
        """It has its outcome."""


Tracer = Callable[[Fields], InvocationSpan]
"""Begins the span of an invocation, whose parent the request's fields name."""
