"""Traces reach a collector with the right parents; user code sees the worker's span; a dead collector harms nobody."""

import asyncio
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping

import httpx
import pytest
import test_platform
import uvloop
from aiohttp import web
from collector import Collector, Span, collecting
from test_platform import BOUND, Configure, Running, running

from dialback import tracing as cli_tracing
from dialback.errors import StartProblem
from dialback.platform import run_edge, run_invoker, run_platform
from dialback.tracing import tracing, wanted

folder, settings, signals = test_platform.folder, test_platform.settings, test_platform.signals
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ECHO = b"""
import json
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    what = scope["query_string"].decode()
    if what == "fail":
        raise ValueError("it fails")
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(headers).encode(), "more_body": True})
    if what == "break":
        raise ValueError("it breaks")
    await send({"type": "http.response.body", "body": b""})
"""


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], object]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    """A collector that the environment names; spans leave at once."""
    async with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
        yield collector


async def told(url: str, query: str = "", **headers: str) -> dict[str, str]:
    """The headers that the function saw."""
    async with httpx.AsyncClient(timeout=BOUND) as client:
        answer = await client.get(f"{url}/@slow/{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    seen = json.loads(answer.text)
    assert isinstance(seen, dict)
    return seen


async def test_one_request_is_three_spans_in_a_row_and_user_code_hangs_below_the_last(
    settings: Configure, collector: Collector
) -> None:
    async with running(run_platform, settings()) as platform:
        await platform.deploy(ECHO)
        seen = await told(platform.ready.public_url, "?secret=1", **{"user-agent": "me"})
        edge, invoker, start, worker = await collector.of("GET", "invoke slow", "start worker", "worker slow")
    assert len({span.trace for span in (edge, invoker, start, worker)}) == 1
    assert (edge.parent, invoker.parent, worker.parent, start.parent) == ("", edge.id, invoker.id, invoker.id)
    version, trace, parent, flags = seen["traceparent"].split("-")
    assert (version, trace, parent, int(flags, 16) & 1) == ("00", worker.trace, worker.id, 1)
    assert (edge.scope, invoker.scope) == ("dialback.edge", "dialback.invoker")
    assert edge.resource["service.name"] == "dialback"

    assert edge.events == ["first_byte", "end"]
    marks = [
        "queued",
        "worker_start",
        "worker_spawned",
        "worker_ready",
        "payload_handed",
        "dialed_back",
        "head",
        "first_byte",
        "last_byte",
    ]
    assert [event for event in invoker.events if event in marks] == marks
    assert invoker.events[-1] == "end"
    assert worker.events == ["payload_handed", "dialed_back", "head", "first_byte", "last_byte", "end"]
    assert edge.start <= invoker.start <= start.start <= worker.start <= worker.times["first_byte"]
    assert start.end <= worker.times["payload_handed"] + 1_000_000
    assert worker.times["first_byte"] <= edge.times["first_byte"] <= edge.end

    said = edge.attributes
    assert (said["http.request.method"], said["url.path"], said["http.response.status_code"]) == ("GET", "/@slow/", 200)
    assert (said["user_agent.original"], said["client.address"], said["dialback.code"]) == ("me", "127.0.0.1", "--")
    assert not any("secret" in str(value) for value in said.values()), "the query is nobody's business"
    assert said["dialback.id"] == invoker.attributes["faas.invocation_id"]
    said = invoker.attributes
    assert (said["faas.invoked_name"], said["faas.coldstart"], said["dialback.mode"]) == ("slow", True, "callback")
    assert (said["dialback.verdict"], said["dialback.bytes_out"] > 0) == ("ok", True)
    assert not any(span.failed for span in (edge, invoker, start, worker))


STYLES = {
    "Lambda": b"""
def handler(event, context):
    return {"statusCode": 200, "body": __import__("json").dumps(event["headers"])}
""",
    "WSGI": b"""
def application(environ, start_response):
    start_response("200 OK", [])
    return [b'{"traceparent": "%s"}' % environ["HTTP_TRACEPARENT"].encode()]
""",
    "fetch": b"""
from dialback_bridge import Response
def GET(request):
    return Response('{"traceparent": "%s"}' % request.headers["traceparent"])
""",
}


@pytest.mark.parametrize("style", STYLES)
async def test_every_style_of_handler_sees_the_workers_span(
    settings: Configure, collector: Collector, style: str
) -> None:
    async with running(run_platform, settings()) as platform:
        await platform.deploy(STYLES[style])
        seen = await told(platform.ready.public_url)
        (worker,) = await collector.of("worker slow")
    assert seen["traceparent"].split("-")[1:3] == [worker.trace, worker.id]


async def test_a_request_in_buffered_mode_is_told_as_well(settings: Configure, collector: Collector) -> None:
    async with running(run_platform, settings()) as platform:
        await platform.deploy(STYLES["Lambda"])
        ready = platform.ready
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {ready.control_token}"}) as client:
            ticket = await client.post(f"{ready.control_url}/v1/tickets", json={"function": "slow", "mode": "buffered"})
        seen = await told(ready.public_url, **{"x-dialback-run": ticket.json()["ticket"]})
        (worker,) = await collector.of("worker slow")
    assert (worker.attributes["dialback.mode"], seen["traceparent"].split("-")[2]) == ("buffered", worker.id)
    assert "dialed_back" not in worker.events


async def test_a_worker_that_does_not_start_is_a_span_that_failed_and_no_workers_part(
    settings: Configure, collector: Collector
) -> None:
    broken = b"""
import os
if os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", "").startswith("w_"):
    raise ImportError("only in a worker")
def handler(event, context):
    return "never"
"""
    async with running(run_platform, settings()) as platform:
        await platform.deploy(broken)
        async with httpx.AsyncClient(timeout=BOUND) as client:
            assert (await client.get(f"{platform.ready.public_url}/@slow/")).status_code == 502
        start, invoker, edge = await collector.of("start worker", "invoke slow", "GET")
    assert (start.failed, start.events, start.parent) == (True, ["worker_spawned"], invoker.id)
    assert (invoker.failed, invoker.attributes["error.type"]) == (True, "init_error")
    assert (edge.attributes["dialback.code"], invoker.attributes["dialback.code"]) == ("FL", "FL")
    assert "worker slow" not in {span.name for span in collector.spans}


async def test_a_clients_trace_goes_on_and_its_state_reaches_user_code(
    settings: Configure, collector: Collector
) -> None:
    async with running(run_platform, settings()) as platform:
        await platform.deploy(ECHO)
        given = f"00-{TRACE}-{PARENT}-01"
        seen = await told(platform.ready.public_url, traceparent=given, tracestate="vendor=1")
        edge, worker = await collector.of("GET", "worker slow")
    assert (edge.trace, edge.parent) == (TRACE, PARENT)
    assert seen["traceparent"].startswith(f"00-{TRACE}-{worker.id}-")
    assert seen["tracestate"] == "vendor=1"


async def test_a_client_that_does_not_want_to_be_sampled_is_not_and_still_has_a_trace(
    settings: Configure, collector: Collector
) -> None:
    async with running(run_platform, settings()) as platform:
        await platform.deploy(ECHO)
        url = platform.ready.public_url
        seen = await told(url, traceparent=f"00-{TRACE}-{PARENT}-00")
        _, trace, parent, flags = seen["traceparent"].split("-")
        assert (trace, parent != PARENT, int(flags, 16) & 1) == (TRACE, True, 0)
        await told(url)
        await collector.of("worker slow")
    assert TRACE not in {span.trace for span in collector.spans}


async def test_what_no_trace_is_begins_a_new_one(settings: Configure, collector: Collector) -> None:
    async with running(run_platform, settings()) as platform:
        await platform.deploy(ECHO)
        seen = await told(platform.ready.public_url, traceparent="nonsense", tracestate="a=b")
        (edge,) = await collector.of("GET")
    assert (edge.parent, seen["traceparent"].split("-")[1]) == ("", edge.trace)
    assert "tracestate" not in seen


async def test_failures_are_errors_with_a_reason_and_a_name_that_nobody_has_is_not(
    settings: Configure, collector: Collector
) -> None:
    async with running(run_platform, settings()) as platform:
        await platform.deploy(ECHO)
        url = platform.ready.public_url
        async with httpx.AsyncClient(timeout=BOUND) as client:
            assert (await client.get(f"{url}/@nobody/")).status_code == 404
            assert (await client.get(f"{url}/@slow/?fail")).status_code == 500
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(f"{url}/@slow/?break")
            assert (await client.get(f"{url}/_dialback/health")).status_code == 200

        def all_three(spans: list[Span]) -> bool:
            return len([span for span in spans if span.name == "GET"]) == 3

        await collector.until(all_three)
        nobody, fails, breaks = sorted((s for s in collector.spans if s.name == "GET"), key=lambda span: span.start)
    assert (nobody.failed, nobody.attributes["dialback.code"]) == (False, "LR")
    assert (fails.failed, fails.attributes["error.type"]) == (True, "500")
    assert "it fails" in fails.said
    assert (breaks.failed, breaks.attributes["http.response.status_code"]) == (True, 200)
    assert "it breaks" in breaks.said
    invoked = [span for span in collector.spans if span.name == "invoke slow"]
    assert [span.failed for span in invoked] == [True, True]
    assert [span.attributes["error.type"] for span in invoked] == ["handler_error", "handler_error"]
    assert "invoke" in {span.name for span in collector.spans}, "of a function that is not there the name is not told"


async def test_edge_and_invoker_of_their_own_share_the_trace_and_not_the_name(
    settings: Configure, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(run_invoker, settings()) as invoker, running(run_edge, settings()) as edge:
        await invoker.deploy(ECHO)
        await told(edge.ready.public_url)
        first, second = await collector.of("GET", "invoke slow")
    assert (first.trace, first.id) == (second.trace, second.parent)
    assert [span.resource["service.name"] for span in (first, second)] == ["dialback-edge", "dialback-invoker"]


async def test_service_name_and_sampler_are_those_of_the_environment(
    settings: Configure, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=blue")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    async with running(run_platform, settings()) as platform:
        await platform.deploy(ECHO)
        assert (await told(platform.ready.public_url))["traceparent"][-2:] in ("00", "02")
        await told(platform.ready.public_url, traceparent=f"00-{TRACE}-{PARENT}-01")
        (edge,) = await collector.of("GET")
    assert (edge.trace, edge.resource["service.name"]) == (TRACE, "shop")
    assert {span.trace for span in collector.spans} == {TRACE}
    assert collector.headers[0]["x-team"] == "blue"


async def test_the_last_spans_leave_at_the_stop(
    settings: Configure, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    async with running(run_platform, settings()) as platform:
        await platform.deploy(ECHO)
        await told(platform.ready.public_url)
        assert collector.spans == []
        platform.signal()
        assert await platform.code() == 0
    assert {"GET", "invoke slow", "worker slow"} <= {span.name for span in collector.spans}


async def test_without_a_collector_a_parent_is_passed_on_as_it_came(settings: Configure) -> None:
    async with running(run_platform, settings()) as platform:
        await platform.deploy(ECHO)
        given = f"00-{TRACE}-{PARENT}-01"
        seen = await told(platform.ready.public_url, traceparent=given, tracestate="vendor=1")
        assert (seen["traceparent"], seen["tracestate"]) == (given, "vendor=1")
        assert (await told(platform.ready.public_url))["traceparent"].endswith("-00")


# --- collectors that do not work ------------------------------------------------------------------------------------


async def serve_well(platform: Running) -> None:
    """A hundred requests, none of which waits for a collector."""
    await platform.deploy(ECHO)
    await told(platform.ready.public_url)
    slowest = 0.0
    for _ in range(100):
        began = time.monotonic()
        await told(platform.ready.public_url)
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 2.0


async def test_a_collector_that_is_gone_costs_spans_and_no_request(
    settings: Configure, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{probe.getsockname()[1]}")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
        monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16")
        monkeypatch.setattr(cli_tracing, "LAST_SECONDS", 0.2)
        async with running(run_platform, settings()) as platform:
            await serve_well(platform)
            platform.signal()
            assert await platform.code() == 0
    said = [record for record in caplog.records if record.name == "dialback.traces"]
    assert 1 <= len(said) <= 6, "each kind of trouble once"
    assert said[-1].getMessage() == "traces: the last spans could not be sent within 0.2 s"
    assert all(record.getMessage().startswith("traces: ") and record.exc_info is None for record in said)
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]


async def test_a_collector_that_hangs_does_not_hold_up_a_stop(
    settings: Configure, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        await hangs.wait()
        return web.Response()

    monkeypatch.setattr(collector, "take", take)
    monkeypatch.setattr(cli_tracing, "LAST_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3")
        async with running(run_platform, settings()) as platform:
            await serve_well(platform)
            began = time.monotonic()
            platform.signal()
            assert await platform.code() == 0
            assert time.monotonic() - began < 3.0
    for thread in threading.enumerate():
        if thread.name.startswith(("Otel", "last-spans")):
            await asyncio.to_thread(thread.join, BOUND)


# --- what the environment may say -----------------------------------------------------------------------------------

HERE = "http://127.0.0.1:4318"


@pytest.mark.parametrize(
    ("environment", "traces"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x", "OTEL_TRACES_SAMPLER": "always_on"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": HERE + "/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_SDK_DISABLED": "false"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"},
            True,
        ),
    ],
)
def test_an_endpoint_or_an_exporter_asks_for_traces(environment: dict[str, str], traces: bool) -> None:
    assert wanted(environment) is traces


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", "write http://HOST:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf is served"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "otlp and none are served"),
        ("OTEL_TRACES_SAMPLER", "allways_on", "did you mean 'always_on'?"),
        ("OTEL_TRACES_SAMPLER_ARG", "2", "write a share from 0 to 1"),
        ("OTEL_TRACES_SAMPLER_ARG", "half", "write a share from 0 to 1"),
    ],
)
async def test_what_cannot_be_served_is_refused_by_name(name: str, value: str, words: str) -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": HERE, "OTEL_TRACES_SAMPLER": "traceidratio", name: value}
    with pytest.raises(StartProblem) as refused:
        async with tracing("dialback", environment):
            raise AssertionError
    assert refused.value.message.startswith(f"{name}={value} cannot be used: ")
    assert words in refused.value.message


async def test_what_opentelemetry_refuses_is_a_start_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", HERE)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with pytest.raises(StartProblem, match="traces cannot be exported: "):
        async with tracing("dialback"):
            raise AssertionError
    assert logging.getLogger("opentelemetry").propagate


def test_without_traces_nothing_of_opentelemetry_is_loaded() -> None:
    program = (
        "import sys, asyncio\n"
        "import dialback.platform\n"
        "from dialback.tracing import tracing\n"
        "async def main():\n"
        "    async with tracing('x', {}) as traces:\n"
        "        assert (traces.edge, traces.invoker) == (None, None)\n"
        "asyncio.run(main())\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'requests'))])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
