"""A worker must not outlive its platform: when the control descriptor ends, the whole process group is killed.

A thread, because user code may block the event loop for as long as it likes.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import NoReturn


def kill_group() -> NoReturn:
    """End this process at once, and with it its group when the group is its own."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def watch(fd: int, on_end: Callable[[], object] = kill_group) -> threading.Thread:
    """Start the thread that calls `on_end` when `fd` ends. What is still written to `fd` is passed over."""

    def wait() -> None:
        try:
            while os.read(fd, 4096):
                pass
        except OSError:
            # User code closed the descriptor. Whether the platform lives can no longer be told, so it counts as gone.
            pass
        on_end()

    thread = threading.Thread(target=wait, name="dialback-watchdog", daemon=True)
    thread.start()
    return thread
