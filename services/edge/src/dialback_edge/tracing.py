"""The seam for traces: what an exchange tells of itself, when somebody wants to know. Costs nothing otherwise."""

from collections.abc import Callable
from typing import Protocol

from dialback_wire.messages import Fields

from .access_log import AccessRecord
from .request_head import RequestHead


class RequestSpan(Protocol):
    """One request that is relayed. Nothing here blocks or raises."""

    @property
    def fields(self) -> Fields:
        """The request's fields, with this span as the parent of what comes behind it."""

    def first_byte(self) -> None:
        """The answer's body begins."""

    def end(self, record: AccessRecord) -> None:
        """It is over."""


Tracer = Callable[[RequestHead, float, Fields], RequestSpan]
"""Begins the span of a request: its head, its age in seconds, and the fields that it is to be relayed with."""
