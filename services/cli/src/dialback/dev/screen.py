"""Everything that `dialback dev` writes, one thing after the other, from a thread of its own.

While a breakpoint's prompt has the terminal, nothing is written: the worker holds a lock on a file then, and what comes
meanwhile waits.
"""

from __future__ import annotations

import fcntl
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from rich.console import RenderableType

from dialback.terminal import output_console

MOST_WAITING = 10_000
"""Things that may wait for a prompt to close; later ones are dropped and counted."""
LOOK_AGAIN = 0.05
"""Seconds between two looks whether the prompt is over."""

Event = Mapping[str, object]


class Screen:
    """Shows things to a person, or as events, a JSON object a line, to a program."""

    def __init__(self, events: bool, lock: Path, write: Callable[[bytes], object] | None = None) -> None:
        """`lock` names a file that is locked while somebody else has the terminal; it is made here."""
        self._events = events
        self._write = write or _to_output
        self._console = output_console()
        self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._waiting: queue.SimpleQueue[RenderableType | Event | None] = queue.SimpleQueue()
        self._dropped = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="dev-screen", daemon=True)
        self._thread.start()

    @property
    def width(self) -> int:
        """Columns."""
        return self._console.width

    def show(self, thing: RenderableType | None, event: Event | None = None) -> None:
        """`thing` for a person, `event` for a program; None: nothing for that one. Never blocks."""
        said: RenderableType | Event | None = event if self._events else thing
        if said is None:
            return
        if self._waiting.qsize() >= MOST_WAITING:
            self._dropped += 1
        else:
            self._waiting.put(said)

    def close(self, timeout: float = 0.5) -> None:
        """Write what waits, within `timeout` seconds."""
        self._waiting.put(None)
        self._closing = True
        self._thread.join(timeout)
        if not self._thread.is_alive():
            os.close(self._lock)

    def _run(self) -> None:
        while (said := self._waiting.get()) is not None:
            self._await_turn()
            dropped, self._dropped = self._dropped, 0
            try:
                self._write(self._text(said).encode("utf-8", "replace"))
                if dropped:
                    self._write(f"{dropped} lines were dropped\n".encode())
            except OSError:
                pass  # nobody reads it any more
            finally:
                with suppress(OSError):
                    fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _await_turn(self) -> None:
        while not self._closing:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(LOOK_AGAIN)
            else:
                return

    def _text(self, said: RenderableType | Event) -> str:
        if isinstance(said, Mapping):
            return json.dumps(said, ensure_ascii=False, separators=(",", ":")) + "\n"
        with self._console.capture() as captured:
            self._console.print(said, soft_wrap=True)
        return captured.get()


def _to_output(data: bytes) -> None:
    # Not through the stream: a thread that blocks in there holds its lock, and the process could not end.
    left = memoryview(data)
    descriptor = sys.stdout.fileno()
    while left:
        left = left[os.write(descriptor, left) :]
