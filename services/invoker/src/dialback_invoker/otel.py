"""Spans of the invoker, by OpenTelemetry. Imported only where traces are configured.

An invocation is a span; the marks of its timeline are its events. The worker's part is a span inside of it, from the
payload's stamp to the runtime's answer, and it is what user code sees as its parent. It is written by the invoker,
since a worker has no collector to talk to. A worker's start that the invocation waited for is a span as well.
"""

from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace import Tracer as OtelTracer
from opentelemetry.trace.propagation import set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from dialback_invoker.timeline import Timeline
from dialback_invoker.trace import Invocation
from dialback_invoker.tracing import InvocationSpan, Tracer
from dialback_wire.messages import Fields, Verdict
from dialback_wire.trace_context import PARENT, STATE, with_trace

_context = TraceContextTextMapPropagator()
_NO_FAULT = (Verdict.OK, Verdict.CANCELLED)
_WORKERS = ("payload_handed", "dialed_back", "head", "first_byte", "last_byte")
"""Marks that are told of the worker's span, too."""


def tracer(otel: OtelTracer) -> Tracer:
    """Begins spans with this tracer."""

    def begin(fields: Fields) -> InvocationSpan:
        return InvokerSpan(otel, fields)

    return begin


class InvokerSpan:
    """Implements `InvocationSpan`."""

    def __init__(self, otel: OtelTracer, fields: Fields) -> None:
        carrier = {name.decode(): value.decode("latin-1") for name, value in fields if name in (PARENT, STATE)}
        self._otel = otel
        self._span = otel.start_span("invoke", context=_context.extract(carrier, Context()))
        self._inside = set_span_in_context(self._span, Context())
        self._worker: Span | None = None

    def to_worker(self, fields: Fields) -> Fields:
        """A worker is about to be given the request. The one before it, if any, gave it back untouched."""
        if self._worker is not None:
            self._worker.add_event("declined")
            self._worker.end()
        self._worker = self._otel.start_span("worker", context=self._inside, kind=SpanKind.CLIENT)
        made: dict[str, str] = {}
        _context.inject(made, set_span_in_context(self._worker, Context()))
        return with_trace(fields, made["traceparent"].encode(), made.get("tracestate", "").encode())

    def end(self, invocation: Invocation) -> None:
        """It has its outcome."""
        if self._span.is_recording():
            self._write(invocation)
        if self._worker is not None:
            self._worker.end()
        self._span.end()

    def _write(self, invocation: Invocation) -> None:
        outcome, exchange = invocation.outcome, invocation.exchange
        assert outcome is not None
        attributes: dict[str, str | bool | int] = {
            "faas.invocation_id": invocation.request.id,
            "faas.invoked_name": invocation.function,
            "faas.coldstart": invocation.cold,
            "http.request.method": invocation.request.method.decode("latin-1"),
            "http.response.status_code": outcome.status,
            "dialback.deployment": invocation.deployment,
            "dialback.mode": invocation.mode,
            "dialback.worker": invocation.worker,
            "dialback.verdict": outcome.verdict.name.lower(),
            "dialback.code": outcome.code,
            "dialback.bytes_in": exchange.received,
            "dialback.bytes_out": exchange.relayed,
            "dialback.chunks": exchange.timeline.gaps.count,
        }
        marks = _marks(exchange.timeline)
        end = marks.pop("end")
        self._start(marks)
        if invocation.function:
            self._span.update_name(f"invoke {invocation.function}")
        for span, told in ((self._span, marks), (self._worker, _WORKERS)):
            if span is None:
                continue
            span.set_attributes(attributes)
            for name in told:
                if name in marks:
                    span.add_event(name, timestamp=marks[name])
            ended = {"dialback.verdict": outcome.verdict.name.lower(), "dialback.code": outcome.code}
            span.add_event("end", ended, timestamp=end)
            if outcome.verdict not in _NO_FAULT and not 400 <= outcome.status < 500:
                span.set_attribute("error.type", outcome.error)
                span.set_status(StatusCode.ERROR, outcome.detail)
        if self._worker is not None:
            self._worker.update_name(f"worker {invocation.function}")

    def _start(self, marks: Mapping[str, int]) -> None:
        """The start of a worker that it waited for."""
        if "worker_start" in marks:
            span = self._otel.start_span("start worker", context=self._inside, start_time=marks["worker_start"])
            if "worker_spawned" in marks:
                span.add_event("worker_spawned", timestamp=marks["worker_spawned"])
            if "worker_ready" not in marks:
                span.set_status(StatusCode.ERROR)
            span.end(marks.get("worker_ready"))


def _marks(timeline: Timeline) -> dict[str, int]:
    """Names to nanoseconds of Unix time, in order."""
    return {
        str(mark["name"]): int((timeline.received_at + (timeline.at(str(mark["name"])) or 0.0) / 1000) * 1e9)
        for mark in timeline.marks()
        if mark["name"] != "received"
    }
