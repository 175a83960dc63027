"""Where whoever composes an edge may change what clients get. Without hooks the edge relays what the upstream says."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from dialback_wire.messages import Fields, Head

from .error_pages import error_answer
from .request_head import RequestHead


class ErrorPage(Protocol):
    """Makes head and body of an error that the edge answers; `error_pages.error_answer` is the usual one."""

    def __call__(
        self,
        status: int,
        code: str,
        message: str,
        request_id: str,
        *,
        accept: bytes = b"",
        retry_after: int = 0,
        extra: Fields = (),
    ) -> tuple[Head, bytes]: ...


class BodyFilter(Protocol):
    """Changes one answer's body on its way to the client. Credit goes by what came, not by what leaves."""

    def data(self, data: bytes) -> bytes:
        """What a piece becomes; it may be empty."""

    def end(self) -> bytes:
        """What follows the last piece of a complete body."""


def _leave(_request: RequestHead, _head: Head) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Hooks:
    """`filter` may give an answer another head and a filter for its body; such a head must not announce a length.
    `relayed` is a prefix below `/_dialback/` that the upstream answers and not the edge.
    """

    error_page: ErrorPage = error_answer
    filter: Callable[[RequestHead, Head], tuple[Head, BodyFilter] | None] = _leave
    relayed: bytes = b""
