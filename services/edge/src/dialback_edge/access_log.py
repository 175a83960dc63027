"""One line for each request. Never the query, where secrets travel."""

import json
from collections.abc import Callable
from dataclasses import dataclass


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
    """Who ended it (C client, F function, S its worker, P policy, R resource, L routing, I internal, K killed; c and s:
    a time-out of theirs) and in which phase (R request, Q queue, L start, W dialling back, H head, D data, E end); `--`
    when all went well."""
    bytes_in: int
    bytes_out: int
    head_after: float | None
    """From the first byte of the request to the head of the answer."""
    duration: float
    detail: str = ""
    by: str = ""
    """The part that ended it: `client`, `edge`, `invoker`, `worker`, `function`; empty when all went well."""

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
                **({"by": self.by} if self.by else {}),
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
