"""Tracebacks as their author wants them: from the function's own first frame on, without what called it."""

from __future__ import annotations

import traceback
from types import TracebackType

CALLERS = frozenset({"dialback_bridge", "asyncio", "concurrent", "importlib", "threading"})
"""Packages whose frames come before the function's own: the bridge, and what it runs functions with."""


def below_bridge(error: BaseException) -> TracebackType | None:
    """The traceback without the frames at its top that tell the user nothing; all of it when there are no others."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").partition(".")[0] in CALLERS:
        frames = frames.tb_next
    return frames or error.__traceback__


def traceback_lines(error: BaseException) -> list[str]:
    """The traceback and its causes, line by line; blank lines say nothing in a log."""
    text = "".join(traceback.format_exception(type(error), error, below_bridge(error)))
    return [line for line in text.splitlines() if line.strip()]
