"""Spans of the edge, by OpenTelemetry. Imported only where traces are configured.

Names and attributes are those of the semantic conventions for HTTP servers, without the query: secrets travel there.
"""

import time

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace import Tracer as OtelTracer
from opentelemetry.trace.propagation import set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from dialback_wire.fields import first
from dialback_wire.messages import Fields
from dialback_wire.trace_context import PARENT, STATE, with_trace

from .access_log import AccessRecord
from .request_head import RequestHead
from .tracing import RequestSpan, Tracer

_context = TraceContextTextMapPropagator()
_NO_FAULT_OF_OURS = "CcL"
"""Who ended it, where that is no error of the server's: the client, or a name that nobody has."""


def tracer(otel: OtelTracer) -> Tracer:
    """Begins spans with this tracer."""

    def begin(request: RequestHead, age: float, fields: Fields) -> RequestSpan:
        return EdgeSpan(otel, request, age, fields)

    return begin


class EdgeSpan:
    """Implements `RequestSpan`."""

    def __init__(self, otel: OtelTracer, request: RequestHead, age: float, fields: Fields) -> None:
        carrier = {name.decode(): value.decode("latin-1") for name, value in fields if name in (PARENT, STATE)}
        # A parent that the edge made itself is no span of anybody's.
        came = bool(request.traceparent) and first(fields, PARENT) == request.traceparent
        self._request = request
        self._span = otel.start_span(
            request.method.decode(),
            context=_context.extract(carrier, Context()) if came else Context(),
            kind=SpanKind.SERVER,
            start_time=time.time_ns() - int(age * 1e9),
        )
        made: dict[str, str] = {}
        _context.inject(made, set_span_in_context(self._span, Context()))
        self.fields = with_trace(fields, made["traceparent"].encode(), made.get("tracestate", "").encode())

    def first_byte(self) -> None:
        """The answer's body begins."""
        self._span.add_event("first_byte")

    def end(self, record: AccessRecord) -> None:
        """It is over."""
        span = self._span
        if span.is_recording():
            span.set_attributes(
                {
                    "http.request.method": record.method,
                    "url.scheme": "http",
                    "url.path": record.path,
                    "server.address": record.host,
                    "client.address": record.client.rpartition(":")[0].strip("[]"),
                    "user_agent.original": (first(tuple(self._request.fields), b"user-agent") or b"").decode("latin-1"),
                    "http.request.body.size": record.bytes_in,
                    "http.response.body.size": record.bytes_out,
                    "dialback.id": record.id,
                    "dialback.code": record.code,
                }
            )
            if record.status:
                span.set_attribute("http.response.status_code", record.status)
            if record.code != "--" and record.code[0] not in _NO_FAULT_OF_OURS and not 400 <= record.status < 500:
                span.set_attribute("error.type", str(record.status) if record.status >= 500 else record.code)
                span.set_status(StatusCode.ERROR, record.detail)
            span.add_event("end", {"dialback.code": record.code})
        span.end()
