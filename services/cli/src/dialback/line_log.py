"""Writes lines to standard output from a thread of its own, so that a blocked pipe never delays a request."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TextIO, TypeVar

T = TypeVar("T")

PAUSE = 0.02
"""Seconds between two writes: to wake the writer for each line would cost more than the line."""


class LineLog(Generic[T]):
    """Takes records from the loop's thread; in the writer's a line is made of each.

    Nothing is written before `open`, for the ready line comes first. What does not fit into the bounded queue is
    dropped and counted; the count is written with the next lines.
    """

    def __init__(self, stream: TextIO | None = None, limit: int = 10_000) -> None:
        self.dropped = 0
        self._stream = sys.stdout if stream is None else stream
        self._limit = limit
        self._waiting: deque[T] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self, render: Callable[[T], str]) -> None:
        """Begin to write; `render` makes a line of a record."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(render,), name="access-log", daemon=True)
            self._thread.start()

    def __call__(self, record: T) -> None:
        if len(self._waiting) >= self._limit:
            self.dropped += 1
            return
        self._waiting.append(record)
        if not self._wake.is_set():
            self._wake.set()

    def close(self, timeout: float = 1.0) -> None:
        """Write what waits, within `timeout` seconds."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self, render: Callable[[T], str]) -> None:
        told = 0
        while not (self._closing.is_set() and not self._waiting):
            self._wake.wait()
            self._wake.clear()
            lines = [render(self._waiting.popleft()) for _ in range(len(self._waiting))]
            if self.dropped > told:
                lines.append(json.dumps({"access_log_dropped": self.dropped - told}))
                told = self.dropped
            try:
                self._write("".join(f"{line}\n" for line in lines))
            except (OSError, ValueError):
                self.dropped += len(lines)
            self._closing.wait(PAUSE)

    def _write(self, text: str) -> None:
        try:
            descriptor = self._stream.fileno()
        except (OSError, AttributeError):
            self._stream.write(text)
            return
        # Not through the stream: a thread that blocks in there holds its lock, and the process could not end.
        data = memoryview(text.encode("utf-8", "replace"))
        while data:
            data = data[os.write(descriptor, data) :]
