"""Traces to an OpenTelemetry collector, where its standard environment variables ask for them.

Nothing of OpenTelemetry is imported otherwise. Spans wait in a bounded queue and leave from a thread of their own, so a
collector that is slow or gone costs spans and no request.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dialback.errors import StartProblem
from dialback.names import did_you_mean
from dialback_edge.tracing import Tracer as EdgeTracer
from dialback_invoker.tracing import Tracer as InvokerTracer

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider

_log = logging.getLogger("dialback.traces")

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"
SAMPLERS = (
    *("always_on", "always_off", "traceidratio"),
    *("parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"),
)
LAST_SECONDS = 3.0
"""How long the last spans may take to leave at a stop."""
LAST_WORDS = 0.5
"""And how long it may then take to give up."""
SILENCE = 60.0
"""Seconds before the same kind of trouble is told again."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """What begins spans in each service; None where no traces are wanted."""

    edge: EdgeTracer | None = None
    invoker: InvokerTracer | None = None


@asynccontextmanager
async def tracing(service: str, environment: Mapping[str, str] = os.environ) -> AsyncIterator[Tracing]:
    """Traces until the end, if the environment wants them. `service` names this process where OTEL_SERVICE_NAME does
    not. Raises StartProblem for variables that cannot be served.
    """
    if not wanted(environment):
        yield Tracing()
        return
    from dialback_edge import otel as edge_otel
    from dialback_invoker import otel as invoker_otel

    with _few_words() as words:
        provider, exporter = _started(service, environment)
        try:
            yield Tracing(
                edge_otel.tracer(provider.get_tracer("dialback.edge")),
                invoker_otel.tracer(provider.get_tracer("dialback.invoker")),
            )
        finally:
            await asyncio.to_thread(_finish, provider, exporter, words)


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether traces are to be exported. Raises StartProblem for what is asked and not served.

    As the OpenTelemetry specification says, an empty variable counts as unset.
    """
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip()
    if exporter == "none":
        return False
    if exporter not in ("", "otlp"):
        raise _problem("OTEL_TRACES_EXPORTER", exporter, "otlp and none are served")
    endpoints = {name: value for name in ENDPOINTS if (value := environment.get(name, "").strip())}
    if not exporter and not endpoints:
        return False
    for name, value in endpoints.items():
        if urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname:
            raise _problem(name, value, "write http://HOST:4318")
    for name in PROTOCOLS:
        if (value := environment.get(name, "").strip()) and value != PROTOCOL:
            raise _problem(name, value, f"{PROTOCOL} is served, which collectors take on port 4318")
    _check_sampler(environment)
    return True


def _check_sampler(environment: Mapping[str, str]) -> None:
    name = environment.get("OTEL_TRACES_SAMPLER", "").strip()
    if name and name.lower() not in SAMPLERS:
        raise _problem("OTEL_TRACES_SAMPLER", name, did_you_mean(name, SAMPLERS))
    share = environment.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    if name.lower().endswith("traceidratio") and share:
        try:
            right = 0 <= float(share) <= 1
        except ValueError:
            right = False
        if not right:
            raise _problem("OTEL_TRACES_SAMPLER_ARG", share, "write a share from 0 to 1")


def _problem(name: str, value: str, hint: str) -> StartProblem:
    return StartProblem(f"{name}={value} cannot be used: {hint}", hint="OTEL_SDK_DISABLED=true turns traces off")


def _started(service: str, environment: Mapping[str, str]) -> tuple[TracerProvider, OTLPSpanExporter]:
    """A provider that exports in batches. Sampler, endpoint, headers and batches are read by OpenTelemetry itself."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "") or environment.get("OTEL_SERVICE_NAME")
    try:
        exporter = OTLPSpanExporter()
        provider = TracerProvider(
            resource=Resource.create({} if named else {"service.name": service}), shutdown_on_exit=False
        )
        provider.add_span_processor(BatchSpanProcessor(exporter))
    except ValueError as wrong:
        raise StartProblem(f"traces cannot be exported: {wrong}", hint="look at the variables OTEL_...") from wrong
    return provider, exporter


def _finish(provider: TracerProvider, exporter: OTLPSpanExporter, words: _FewWords) -> None:
    """Send what is left, within `LAST_SECONDS`; then give up. A collector that hangs must not hold up a stop."""
    sending = threading.Thread(target=provider.shutdown, name="last-spans", daemon=True)
    sending.start()
    sending.join(LAST_SECONDS)
    if sending.is_alive():
        _log.warning("traces: the last spans could not be sent within %g s", LAST_SECONDS)
        words.over = True
        exporter.shutdown()  # type: ignore[no-untyped-call]
        sending.join(LAST_WORDS)


class _FewWords(logging.Handler):
    """Says each kind of trouble once a minute, in one line: a collector that is gone is news once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.over = False
        """Whether nothing more is told: what is given up complains about that."""
        self._said: dict[object, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if not self.over and now - self._said.get(record.msg, -SILENCE) >= SILENCE:
            self._said[record.msg] = now
            _log.log(record.levelno, "traces: %s", record.getMessage())


@contextmanager
def _few_words() -> Iterator[_FewWords]:
    """What OpenTelemetry logs goes through `_FewWords`."""
    log, words = logging.getLogger("opentelemetry"), _FewWords()
    propagated, log.propagate = log.propagate, False
    log.addHandler(words)
    try:
        yield words
    finally:
        log.removeHandler(words)
        log.propagate = propagated
