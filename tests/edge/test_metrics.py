"""What the edge counts is bounded, whatever its clients and functions make up."""

from typing import Any

from edge_kit import Front

from dialback_edge.access_log import AccessRecord
from dialback_edge.metrics import CATALOGUE, CONNECTIONS, DURATION, HEAD, LINK, REQUESTS, EdgeMetrics
from dialback_wire.metrics import Tally


def record(method: str = "GET", status: int = 200, code: str = "--", head_after: float | None = 0.5) -> AccessRecord:
    return AccessRecord(1.0, "id", "1.2.3.4:5", method, "h", "/", status, code, 1, 2, head_after, 1.0)


def counted(*records: AccessRecord) -> dict[str, Any]:
    metrics = EdgeMetrics()
    for one in records:
        metrics.count(one)
    found: dict[str, Any] = {}
    for reading in metrics.readings(in_flight=1, connections=2, linked=False):
        found.setdefault(reading.metric.name, {})[reading.labels] = reading.value
    return found


def test_methods_and_statuses_that_nobody_knows_share_one_series() -> None:
    made_up = [record(f"M{number}", 600 + number) for number in range(50)]
    found = counted(*made_up, record("GET", 299), record(status=0, code="CH", head_after=None))
    assert found[REQUESTS.name] == {
        ("other", "other", "--"): 50,
        ("GET", "other", "--"): 1,
        ("GET", "none", "CH"): 1,
    }


def test_every_metric_of_the_catalogue_is_told() -> None:
    found = counted(record(), record(head_after=None))
    assert set(found) == {metric.name for metric in CATALOGUE}
    head, duration = found[HEAD.name][()], found[DURATION.name][()]
    assert isinstance(head, Tally)
    assert (sum(head.counts), head.total, sum(duration.counts), duration.total) == (1, 0.5, 2, 2.0)
    assert (found[CONNECTIONS.name][()], found[LINK.name][()]) == (2, 0)


async def test_requests_are_counted_as_they_are_logged(front: Front) -> None:
    answer = await front.ask(b"GET /_dialback/nothing HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.status == 404
    assert await front.log.code()
    assert front.service is not None
    readings = {reading.metric.name: reading.value for reading in front.service.readings()}
    assert (readings[REQUESTS.name], readings[CONNECTIONS.name], readings[LINK.name]) == (1, 1, 1)
