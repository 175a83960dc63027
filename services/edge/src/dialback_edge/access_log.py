"""One line for each request. Never the query, where secrets travel."""

import json
import queue
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO


@dataclass(slots=True)
class AccessRecord:
    """How one request went. Durations in seconds, sizes in bytes of body."""

    at: float
    """Unix time of the request's first byte."""
    id: str
    client: str
    method: str
    host: str
    path: str
    status: int
    """0 when the client left before there was an answer."""
    code: str
    """Who ended it (C client, S worker or upstream, P policy, R resource, L routing, I internal, K killed; c and s: a
    time-out of theirs) and in which phase (R request, Q queue, H head, D data, E end); `--` when all went well."""
    bytes_in: int
    bytes_out: int
    head_after: float | None
    """From the first byte of the request to the head of the answer."""
    duration: float
    detail: str = ""

    def line(self) -> str:
        """The record as one line of JSON."""
        return json.dumps(
            {
                "at": round(self.at, 3),
                "id": self.id,
                "client": self.client,
                "method": self.method,
                "host": self.host,
                "path": self.path,
                "status": self.status,
                "code": self.code,
                "bytes_in": self.bytes_in,
                "bytes_out": self.bytes_out,
                "head_ms": None if self.head_after is None else round(self.head_after * 1000, 2),
                "duration_ms": round(self.duration * 1000, 2),
                **({"detail": self.detail} if self.detail else {}),
            }
        )


AccessLog = Callable[[AccessRecord], None]
"""Takes each record; called on the loop's thread, must not block and must not raise."""


def no_log(record: AccessRecord) -> None:
    """Drop it."""


class LineLog:
    """Writes lines from a thread of its own, so that a blocked pipe or a full disk never delays a request.

    What does not fit into the bounded queue is dropped and counted; the count is written with the next line that fits.
    """

    def __init__(self, stream: TextIO | None = None, limit: int = 10_000) -> None:
        self.dropped = 0
        self._stream = sys.stdout if stream is None else stream
        self._queue: queue.Queue[AccessRecord | None] = queue.Queue(limit)
        self._thread = threading.Thread(target=self._run, name="edge-access-log", daemon=True)
        self._thread.start()

    def __call__(self, record: AccessRecord) -> None:
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def close(self, timeout: float = 1.0) -> None:
        """Write what is queued, within `timeout` seconds."""
        try:
            self._queue.put(None, timeout=timeout)
        except queue.Full:
            return
        self._thread.join(timeout)

    def _run(self) -> None:
        told = 0
        while (record := self._queue.get()) is not None:
            lines = [record.line()]
            if self.dropped > told:
                lines.append(json.dumps({"access_log_dropped": self.dropped - told}))
                told = self.dropped
            try:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                self.dropped += len(lines)
