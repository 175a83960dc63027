"""Which event loop a worker runs on: uvloop where the function's environment has it, else asyncio's own.

The bridge depends on neither; `auto` does what uvicorn's option of that name does, so a function that ran there finds
the loop that it had. Importing uvloop costs 3 ms of a start and a megabyte, and saves a tenth of a small request.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

CHOICES = ("auto", "asyncio", "uvloop")


class LoopMissing(Exception):
    """The function asks for a loop that its environment does not have."""


def run(main: Callable[[], Coroutine[Any, Any, T]], choice: str = "auto") -> T:
    """`asyncio.run` of what `main` makes, on the chosen loop. Raises LoopMissing before anything has run."""
    uvloop = None if choice == "asyncio" else _uvloop()
    if uvloop is None:
        if choice == "uvloop":
            raise LoopMissing('event_loop = "uvloop", and the function\'s environment has no usable uvloop')
        return asyncio.run(main())
    if not hasattr(asyncio, "Runner"):  # Python 3.10
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        return asyncio.run(main())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


def _uvloop() -> Any:
    try:
        return importlib.import_module("uvloop")
    except ImportError:
        return None
