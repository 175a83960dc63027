"""What the edge counts: requests as its clients saw them. Bumped once for each, from its record in the access log.

Whatever a client or a function can choose freely is bounded before it becomes a label: methods and statuses that no
RFC knows are `other`.
"""

from collections import Counter
from collections.abc import Iterator
from http import HTTPMethod, HTTPStatus
from typing import Final

from dialback_wire.metrics import Metric, Reading, Tally

from .access_log import AccessRecord

REQUESTS: Final = Metric(
    "dialback_http_requests_total",
    "counter",
    "Requests that are over; the code's two letters say who ended it and in which phase",
    ("method", "status", "code"),
)
DURATION: Final = Metric(
    "dialback_http_request_duration_seconds", "histogram", "From a request's first byte to the end of its answer"
)
HEAD: Final = Metric("dialback_http_head_seconds", "histogram", "From a request's first byte to the head of its answer")
BYTES_IN: Final = Metric("dialback_http_request_body_bytes_total", "counter", "Bytes of request bodies")
BYTES_OUT: Final = Metric("dialback_http_response_body_bytes_total", "counter", "Bytes of response bodies")
IN_FLIGHT: Final = Metric("dialback_http_requests_in_flight", "gauge", "Requests that are being answered")
CONNECTIONS: Final = Metric("dialback_http_connections", "gauge", "Clients that are connected")
LINK: Final = Metric("dialback_link_up", "gauge", "1 while requests can be passed to an invoker, else 0")

CATALOGUE: Final = (REQUESTS, IN_FLIGHT, CONNECTIONS, HEAD, DURATION, BYTES_IN, BYTES_OUT, LINK)

OTHER: Final = "other"
_METHODS: Final = frozenset(method.value for method in HTTPMethod)
_STATUSES: Final = {0: "none"} | {status.value: str(status.value) for status in HTTPStatus}
"""`none`: the client left before there was an answer."""


class EdgeMetrics:
    """All methods belong to the loop's thread."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int, str]] = Counter()
        self._duration = Tally()
        self._head = Tally()
        self._bytes_in = 0
        self._bytes_out = 0

    def count(self, record: AccessRecord) -> None:
        """A request is over."""
        method = record.method if record.method in _METHODS else OTHER
        status = record.status if record.status in _STATUSES else -1
        self._requests[method, status, record.code] += 1
        self._duration.add(record.duration)
        if record.head_after is not None:
            self._head.add(record.head_after)
        self._bytes_in += record.bytes_in
        self._bytes_out += record.bytes_out

    def readings(self, *, in_flight: int, connections: int, linked: bool) -> Iterator[Reading]:
        """Everything that was counted, and how it is now."""
        for (method, status, code), count in sorted(self._requests.items()):
            yield Reading(REQUESTS, count, (method, _STATUSES.get(status, OTHER), code))
        yield Reading(IN_FLIGHT, in_flight)
        yield Reading(CONNECTIONS, connections)
        yield Reading(HEAD, self._head.copy())
        yield Reading(DURATION, self._duration.copy())
        yield Reading(BYTES_IN, self._bytes_in)
        yield Reading(BYTES_OUT, self._bytes_out)
        yield Reading(LINK, int(linked))
