"""What every process that stays has in common: how it is tuned, which signals end it, and what it says then.

The first SIGTERM or SIGINT lets what runs come to its end within the grace, the second stops at once; the exit code is
0 when everything ended by itself and 1 when something had to be cut.
"""

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress

from rich.text import Text

from dialback.settings import Settings
from dialback.terminal import error_console
from dialback_wire.freed_memory import keep_freed_memory

CUT = 1
"""Exit code of a stop that had to cut something."""


def tune() -> None:
    """Settings of the interpreter for a process that relays: what was loaded stays for good, and is not looked through
    at each collection of garbage; a thread that writes to the store gives way to the loop within a millisecond; memory
    for bulk data is kept.
    """
    keep_freed_memory()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    sys.setswitchinterval(0.001)


@asynccontextmanager
async def stop_signals() -> AsyncIterator[asyncio.Queue[int]]:
    """SIGTERM and SIGINT, one entry each."""
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[int] = asyncio.Queue()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, signals.put_nowait, number)
    try:
        yield signals
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
            # One more signal, while the last things are put away, must not look like a crash.
            signal.signal(number, signal.SIG_IGN)


def say_waiting(count: int, settings: Settings) -> None:
    """Nothing for a stop that has nothing to wait for."""
    if count:
        longest = f"{settings.drain_delay + settings.drain_grace:g} s at most"
        what = "1 request" if count == 1 else f"{count:,} requests"
        said = Text(f"stopping: waiting for {what} to finish, {longest}; Ctrl-C again stops at once")
        with suppress(OSError):
            error_console().print(said, soft_wrap=True)


async def ended(drain: Coroutine[None, None, bool], signals: asyncio.Queue[int]) -> int:
    """The exit code of a drain that a second signal may cut short."""
    draining = asyncio.create_task(drain)
    second = asyncio.create_task(signals.get())
    either: tuple[asyncio.Task[bool] | asyncio.Task[int], ...] = (draining, second)
    done, pending = await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    return 0 if draining in done and draining.result() else CUT
