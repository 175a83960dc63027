"""`/metrics` of a platform: the numbers are those of the requests that were made, and Prometheus can read them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse

from dialback_edge import metrics as edge_metrics
from dialback_invoker.metrics import catalogue
from dialback_wire.messages import Verdict

from .conftest import Stage
from .node import Node, eventually
from .rogue import dialled
from .strings import BOUND

Made = Callable[[Node], Awaitable[Any]]
CLOSE = "Connection: close"


class Scrape:
    """What Prometheus would know after one scrape."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in parse(text)}
        self.samples = [sample for family in self.families.values() for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """The sum of what fits."""
        return sum(
            sample.value for sample in self.samples if sample.name == name and labels.items() <= sample.labels.items()
        )

    def by(self, name: str, label: str) -> dict[str, float]:
        """Values that are not 0, by one label."""
        return {sample.labels[label]: sample.value for sample in self.samples if sample.name == name and sample.value}


async def scraped(stage: Node, **headers: str) -> Scrape:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{stage.invoker.control_url}/metrics", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Scrape(answer.text)


async def once_over(stage: Node, count: int) -> Scrape:
    """The scrape after that many invocations are over."""

    async def look() -> Scrape | None:
        found = await scraped(stage)
        return found if found.value("dialback_invocations_total") == count else None

    found = await eventually(look)
    assert isinstance(found, Scrape)
    return found


async def test_a_platform_that_has_served_nothing_says_so_and_needs_no_token(stage: Stage) -> None:
    scrape = await scraped(stage)
    assert scrape.value("dialback_build_info") == 1
    assert scrape.value("dialback_workers") == 0
    assert {sample.labels["state"] for sample in scrape.samples if sample.name == "dialback_workers"} == {
        *("starting", "ready", "busy", "idle", "retiring", "stopping")
    }
    assert scrape.value("dialback_queue_length", function="f") == 0
    assert scrape.value("process_resident_memory_bytes") > 1e6


async def test_every_series_of_one_cold_stream_and_one_warm_answer(stage: Stage) -> None:
    client, puppet, given = await stage.invoked("/@f/", CLOSE)
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.head()
        for number in range(3):
            seen.stream.write(b"data: %d\n" % number)
            await client.until(b"data: %d\n" % number)
        running = await scraped(stage)
        seen.stream.end(Verdict.OK)
        await client.rest()
        await puppet.respond(given)
        other = await stage.client()
        other.send(b"POST /@f/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")
        again = await puppet.given()
        (await rogue.accepted(again.token)).respond(b"done")
        await other.rest()
        await puppet.respond(again)
    scrape = await once_over(stage, 2)
    of = {"function": "f", "mode": "callback"}

    assert running.value("dialback_invocations_in_flight", function="f") == 1
    assert running.value("dialback_invocations_total") == 0
    assert running.value("dialback_workers", function="f", state="busy") == 1
    assert running.value("dialback_response_body_bytes_total", **of) == 24, "a stream that runs is counted as it flows"
    assert running.value("dialback_chunks_total", **of) == 3
    assert running.value("dialback_chunk_gap_seconds_count", **of) == 2
    assert running.value("dialback_stall_seconds_total", waiting_for="worker") > 0

    assert scrape.value("dialback_invocations_total", **of, verdict="ok", code="--") == 2
    assert scrape.value("dialback_invocations_in_flight") == 0
    assert scrape.value("dialback_response_body_bytes_total", **of) == 28
    assert scrape.value("dialback_request_body_bytes_total", **of) == 5
    assert scrape.value("dialback_chunks_total", **of) == 4
    assert scrape.value("dialback_chunk_gap_seconds_count", **of) == 2
    for name in ("head", "first_byte", "invocation_duration"):
        assert scrape.value(f"dialback_{name}_seconds_count", **of) == 2
        assert 0 < scrape.value(f"dialback_{name}_seconds_sum", **of) < BOUND
    assert scrape.value("dialback_queue_seconds_count", **of) == 1, "the second found a worker"
    parts = scrape.by("dialback_cold_start_seconds_count", "part")
    assert parts == {"launch": 1, "load": 1, "dial": 1, "head": 1}
    spent = scrape.by("dialback_cold_start_seconds_sum", "part")
    assert 0 < spent["load"] < sum(spent.values()) <= scrape.value("dialback_head_seconds_sum")
    assert scrape.value("dialback_worker_starts_total", function="f", result="ready") == 1
    assert scrape.value("dialback_workers", function="f", state="idle") == 1
    assert scrape.value("dialback_chunk_gap_seconds_sum") >= running.value("dialback_chunk_gap_seconds_sum")
    assert scrape.value("dialback_stall_seconds_total", waiting_for="client") == 0


async def test_ends_are_told_apart_by_verdict_and_code(stage: Stage) -> None:
    await stage.deploy_puppet("slow", timeouts={"head": 1.0})
    async with httpx.AsyncClient(base_url=stage.url) as http:
        for number in range(3):
            assert (await http.get(f"/@nobody-{number}/")).status_code == 404
    # A truncation: the socket is lost in the body.
    client, puppet, given = await stage.invoked("/@f/")
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.head()
        seen.stream.write(b"begun")
        await client.until(b"begun")
    await client.rest()
    await puppet.respond(given)
    # A client that leaves.
    leaver = await stage.client()
    leaver.get("/@f/")
    given = await puppet.given()
    leaver.close()
    await eventually(stage.invoker.dispatch.live[0].exchange.settled.done)
    await puppet.respond(given)
    # A time-out.
    client, slow, given = await stage.invoked("/@slow/", CLOSE)
    async with dialled(slow.receiver, given.token) as rogue:
        await rogue.accepted(given.token)
        assert b" 504 " in await client.rest()
    scrape = await once_over(stage, 6)
    nobodys = {sample.name for sample in scrape.samples if sample.labels.get("function") == ""}
    assert nobodys == {"dialback_invocations_total"}, "names that nobody has are counted, in one series"
    found = {
        tuple(sample.labels[name] for name in ("function", "verdict", "code")): sample.value
        for sample in scrape.samples
        if sample.name == "dialback_invocations_total"
    }
    assert found == {
        ("", "error", "LR"): 3,
        ("f", "truncated", "SD"): 1,
        ("f", "cancelled", "CW"): 1,
        ("slow", "timeout", "sH"): 1,
    }


async def test_a_client_that_does_not_read_is_told_from_a_worker_that_does_not_write(made: Made) -> None:
    stage = await made(Stage(window_budget=1 << 20))
    await stage.deploy_puppet()
    client, puppet, given = await stage.invoked("/@f/", CLOSE)
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.head()
        seen.stream.write(b"x" * (64 << 20))

        async def stalled() -> float:
            return (await scraped(stage)).value("dialback_stall_seconds_total", waiting_for="client")

        assert await eventually(stalled) > 0, "while it lasts"
        seen.stream.end(Verdict.OK)
        await client.swallow()
        await puppet.respond(given)
    scrape = await once_over(stage, 1)
    assert scrape.value("dialback_stall_seconds_total", waiting_for="client") > 0
    assert scrape.value("dialback_response_body_bytes_total") == 64 << 20


async def test_who_waits_and_what_could_not_start_is_seen(made: Made) -> None:
    stage = await made(Stage())
    await stage.deploy_puppet("one", concurrency=1, max_workers=1)
    await stage.deploy_puppet("never-ready", timeouts={"start": 0.3})
    first, _, _ = await stage.invoked("/@one/", CLOSE)
    waiting = await stage.client()
    waiting.get("/@one/")

    async def queued() -> bool:
        return (await scraped(stage)).value("dialback_queue_length", function="one") == 1

    assert await eventually(queued)
    waiting.close()
    failing = await stage.client()
    failing.get("/@never-ready/", CLOSE)
    assert b" 504 " in await failing.rest()
    scrape = await once_over(stage, 2)
    assert scrape.value("dialback_queue_length") == 0
    assert scrape.value("dialback_queue_seconds_count", function="one") == 1, "it left without a worker, having waited"
    assert scrape.value("dialback_cold_start_seconds_count", function="never-ready") == 1, "a process, never ready"

    async def failed() -> bool:
        said = {"function": "never-ready", "result": "start_timeout"}
        return (await scraped(stage)).value("dialback_worker_starts_total", **said) == 1

    assert await eventually(failed)
    first.close()


async def test_a_function_that_was_removed_leaves_no_series_behind(stage: Stage) -> None:
    client, puppet, given = await stage.invoked("/@f/", CLOSE)
    async with dialled(puppet.receiver, given.token) as rogue:
        (await rogue.accepted(given.token)).respond(b"one")
        await client.rest()
        await puppet.respond(given)
    await once_over(stage, 1)
    assert (await stage.control.delete("/v1/functions/f")).status_code < 300
    scrape = await scraped(stage)
    assert [sample for sample in scrape.samples if sample.labels.get("function") == "f"] == []


async def test_an_edge_in_the_same_process_tells_what_clients_saw(stage: Stage) -> None:
    stage.invoker.exposition.add(stage.edge.readings)
    async with httpx.AsyncClient(base_url=stage.url) as http:
        for _ in range(2):
            assert (await http.get("/@nobody/")).status_code == 404
        assert (await http.get("/_dialback/health")).status_code == 200, "a probe, which is not counted"
        scrape = await scraped(stage)
    assert scrape.value("dialback_http_requests_total", method="GET", status="404", code="LR") == 2
    assert scrape.value("dialback_http_requests_total", method="GET", status="200", code="--") == 0
    assert scrape.value("dialback_http_head_seconds_count") == 2
    assert scrape.value("dialback_link_up") == 1
    assert scrape.value("dialback_http_connections") == 1
    described = {family.name for family in scrape.families.values()}
    every = {metric.name.removesuffix("_total") for metric in edge_metrics.CATALOGUE}
    assert every <= described


async def test_the_text_is_what_each_kind_of_scraper_understands(stage: Stage) -> None:
    stage.invoker.exposition.add(stage.edge.readings)
    accept = "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;version=0.0.4;q=0.5"
    async with httpx.AsyncClient() as client:
        await client.get(stage.url + "/@nobody/")
        answer = await client.get(f"{stage.invoker.control_url}/metrics", headers={"accept": accept})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in parse_open_metrics(answer.text)}
    for metric in (*catalogue.CATALOGUE, *edge_metrics.CATALOGUE):
        family = families.get(metric.name.removesuffix("_total"))
        if family is not None:
            assert (family.type, family.documentation) == (metric.kind, metric.help)


async def test_a_page_elsewhere_cannot_read_it(stage: Stage) -> None:
    async with httpx.AsyncClient() as client:
        url = f"{stage.invoker.control_url}/metrics"
        assert (await client.get(url, headers={"host": "evil.example"})).status_code == 403
        assert (await client.get(url, headers={"origin": "http://evil.example"})).status_code == 403


async def test_many_scrapes_at_once_disturb_nobody(stage: Stage) -> None:
    scrapes = await asyncio.gather(*(scraped(stage) for _ in range(20)))
    assert all(scrape.value("dialback_build_info") == 1 for scrape in scrapes)
