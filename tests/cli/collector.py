"""A small OpenTelemetry collector: takes OTLP over HTTP, and gives spans by name."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Span:
    """One exported span, with what tests ask for."""

    def __init__(self, span: Any, resource: dict[str, Any], scope: str) -> None:
        self.name: str = span.name
        self.trace = span.trace_id.hex()
        self.id = span.span_id.hex()
        self.parent = span.parent_span_id.hex()
        self.kind: int = span.kind
        self.failed = span.status.code == 2
        self.said: str = span.status.message
        self.start, self.end = span.start_time_unix_nano, span.end_time_unix_nano
        self.attributes = _plain(span.attributes)
        self.events = [event.name for event in span.events]
        self.times = {event.name: event.time_unix_nano for event in span.events}
        self.resource = resource
        self.scope = scope


class Collector:
    """Where spans arrive. ``answer`` may hold up or refuse an export."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.url = ""
        self.headers: list[dict[str, str]] = []
        self._came = asyncio.Event()

    async def take(self, request: web.Request) -> web.Response:
        body = ExportTraceServiceRequest.FromString(await request.read())
        self.headers.append(dict(request.headers))
        for resource in body.resource_spans:
            for scope in resource.scope_spans:
                told = _plain(resource.resource.attributes)
                self.spans += [Span(span, told, scope.scope.name) for span in scope.spans]
        self._came.set()
        return web.Response(content_type="application/x-protobuf")

    async def until(self, enough: Callable[[list[Span]], Any]) -> Any:
        """What is found among the spans that have come, once it is there."""
        async with asyncio.timeout(30):
            while not (found := enough(self.spans)):
                self._came.clear()
                await self._came.wait()
        return found

    async def of(self, *names: str) -> list[Span]:
        """One span of each name, when all have come."""

        def found(spans: list[Span]) -> list[Span] | None:
            by_name = {span.name: span for span in spans}
            return [by_name[name] for name in names] if set(names) <= set(by_name) else None

        spans = await self.until(found)
        assert isinstance(spans, list)
        return spans


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A collector on a free port."""
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield collector
    finally:
        await runner.cleanup()


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in attributes}
