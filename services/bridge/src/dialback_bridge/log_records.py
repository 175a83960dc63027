"""Records of the `logging` module, for functions that do not configure it: kept with their level, from `LOG_LEVEL` on.

A handler at the root takes what no handler of the user's own takes. It must be there before the user's code, because
`logging.warning(...)` and its like install one of Python's own where there is none; and it must not be in the way of
`basicConfig`, which does nothing where there is one.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Protocol

VARIABLE = "LOG_LEVEL"
DEFAULT = logging.INFO


class Sink(Protocol):
    """Where records go."""

    def emit(self, invocation: str, stream: str, level: str, lines: Iterable[str]) -> None: ...


class Scope(Protocol):
    """What knows its invocation."""

    id: str


class Unclaimed(logging.Handler):
    """Records that the user's own configuration of `logging` gives to nobody."""

    def __init__(self, sink: Sink, current: ContextVar[Any]) -> None:
        super().__init__()
        self._sink = sink
        self._current = current

    def emit(self, record: logging.LogRecord) -> None:
        if _claimed(record.name):
            return
        try:
            lines = [line for line in self.format(record).splitlines() if line.strip()]
            self._sink.emit(self._current.get().id, "log", record.levelname, lines)
        except Exception:
            self.handleError(record)


def _claimed(name: str) -> bool:
    """Whether a handler of the user's own takes the records of this logger."""
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None:
        if any(not isinstance(handler, Unclaimed) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


def level(text: str | None) -> int:
    """The level that `LOG_LEVEL` names, or INFO."""
    found = logging.getLevelName((text or "").strip().upper())
    return found if isinstance(found, int) else DEFAULT


def install(sink: Sink, current: ContextVar[Any]) -> None:
    """Take what nobody else does, until user code calls `basicConfig`."""
    handler = Unclaimed(sink, current)
    # For loggers that do not propagate.
    logging.lastResort = handler
    logging.root.addHandler(handler)
    chosen = level(os.environ.get(VARIABLE))
    logging.root.setLevel(chosen)
    pythons_own = logging.basicConfig

    @functools.wraps(pythons_own)
    def basic_config(**options: Any) -> None:
        if handler in logging.root.handlers:
            logging.root.removeHandler(handler)
            if logging.root.level == chosen and VARIABLE not in os.environ:
                logging.root.setLevel(logging.WARNING)
        pythons_own(**options)

    logging.basicConfig = basic_config
