"""Every metric of the invoker. `docs/observability.md` has the same table, and a test compares the two.

The label `function` holds names of deployed functions alone, so that nobody can make series by asking for names.
"""

from typing import Final

from dialback_wire.metrics import Metric

_OF: Final = ("function", "mode")

INVOCATIONS: Final = Metric(
    "dialback_invocations_total",
    "counter",
    "Invocations that are over, by verdict and by the two letters that say who ended it and in which phase",
    (*_OF, "verdict", "code"),
)
IN_FLIGHT: Final = Metric("dialback_invocations_in_flight", "gauge", "Invocations that are not over", ("function",))
QUEUED: Final = Metric("dialback_queue_length", "gauge", "Invocations that wait for a worker", ("function",))
QUEUE: Final = Metric(
    "dialback_queue_seconds", "histogram", "Wait for a worker, of invocations that found none free", _OF
)
COLD_START: Final = Metric(
    "dialback_cold_start_seconds",
    "histogram",
    "Parts of cold starts, as the invocation waited for them that made its worker start",
    (*_OF, "part"),
)
HEAD: Final = Metric("dialback_head_seconds", "histogram", "From a request's arrival to its response's head", _OF)
FIRST_BYTE: Final = Metric(
    "dialback_first_byte_seconds", "histogram", "From a request's arrival to the first byte of its response's body", _OF
)
DURATION: Final = Metric(
    "dialback_invocation_duration_seconds", "histogram", "From a request's arrival to the client's end", _OF
)
GAPS: Final = Metric("dialback_chunk_gap_seconds", "histogram", "Time between two chunks of a response", _OF)
CHUNKS: Final = Metric("dialback_chunks_total", "counter", "Chunks of responses that came from workers", _OF)
STALL: Final = Metric(
    "dialback_stall_seconds_total",
    "counter",
    "Time in which begun responses stood still, waiting for the client to read or for the worker to write",
    (*_OF, "waiting_for"),
)
BYTES_IN: Final = Metric("dialback_request_body_bytes_total", "counter", "Bytes of request bodies that came", _OF)
BYTES_OUT: Final = Metric("dialback_response_body_bytes_total", "counter", "Bytes of response bodies relayed", _OF)
WORKERS: Final = Metric("dialback_workers", "gauge", "Workers by state", ("function", "state"))
STARTS: Final = Metric(
    "dialback_worker_starts_total",
    "counter",
    "Starts of workers that are over; the result is ready or why it failed",
    ("function", "result"),
)
ZYGOTES: Final = Metric(
    "dialback_zygotes",
    "gauge",
    "Functions that keep processes from which workers are forked, by what is imported there",
    ("imported",),
)
LOST: Final = Metric(
    "dialback_records_dropped_total", "counter", "Records of invocations that were not stored, for lack of room or disk"
)
BUILD: Final = Metric("dialback_build_info", "gauge", "Always 1; the version is a label", ("version",))

CATALOGUE: Final = (
    *(INVOCATIONS, IN_FLIGHT, QUEUED, QUEUE, COLD_START, HEAD, FIRST_BYTE, DURATION, GAPS, CHUNKS, STALL),
    *(BYTES_IN, BYTES_OUT, WORKERS, STARTS, ZYGOTES, LOST, BUILD),
)
