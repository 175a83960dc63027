"""Ctrl-C and SIGTERM, held back while a process is being started or stopped, so that none is ever left behind."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """The user, or whoever runs us, wants an end. `number` is the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


_depth = 0
_pending = 0


def install() -> None:
    """From now on both signals raise Interrupted in the main thread, outside of `shielded` blocks."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _handle)


@contextmanager
def shielded() -> Iterator[None]:
    """A signal that comes inside the block raises at its end."""
    global _depth, _pending
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
    if _pending and not _depth:
        number, _pending = _pending, 0
        raise Interrupted(number)


def _handle(number: int, _frame: FrameType | None) -> None:
    global _pending
    if _depth:
        _pending = number
    else:
        raise Interrupted(number)
