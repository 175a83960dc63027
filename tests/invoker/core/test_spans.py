"""Spans of an invocation, without a platform around them."""

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dialback_invoker.otel import tracer
from dialback_wire.fields import first
from dialback_wire.trace_context import PARENT


def test_a_worker_that_gives_an_invocation_back_has_a_span_that_ends_there() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    span = tracer(provider.get_tracer("test"))(())
    one, two = span.to_worker(()), span.to_worker(())
    assert first(one, PARENT) != first(two, PARENT)
    (given_back,) = exporter.get_finished_spans()
    assert given_back.name == "worker"
    assert [event.name for event in given_back.events] == ["declined"]
    provider.shutdown()
