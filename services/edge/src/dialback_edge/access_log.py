"""One line for each request. Never the query, where secrets travel."""

from collections.abc import Callable
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as _quoted


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
        """The record as one line of JSON. Put together here, because the general way costs four times as much."""
        head = "null" if self.head_after is None else _milliseconds(self.head_after)
        by = f'"by": {_quoted(self.by)}, ' if self.by else ""
        detail = f', "detail": {_quoted(self.detail)}' if self.detail else ""
        return (
            f'{{"at": {round(self.at, 3)!r}, "id": {_quoted(self.id)}, "client": {_quoted(self.client)}, '
            f'"method": {_quoted(self.method)}, "host": {_quoted(self.host)}, "path": {_quoted(self.path)}, '
            f'"status": {self.status}, "code": {_quoted(self.code)}, {by}"bytes_in": {self.bytes_in}, '
            f'"bytes_out": {self.bytes_out}, "head_ms": {head}, "duration_ms": {_milliseconds(self.duration)}{detail}}}'
        )


def _milliseconds(seconds: float) -> str:
    return repr(round(seconds * 1000, 2))


AccessLog = Callable[[AccessRecord], None]
"""Takes each record; called on the loop's thread, must not block and must not raise."""


def no_log(record: AccessRecord) -> None:
    """Drop it."""
