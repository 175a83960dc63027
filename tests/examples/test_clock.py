import re
import time

import httpx
import pytest

EXAMPLE = "clock"


def lines_of(base_url, query, count):
    """The first `count` lines that are not empty, each with the moment at which it came."""
    seen = []
    with httpx.stream("GET", f"{base_url}/events{query}") as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["cache-control"] == "no-cache, no-transform"
        for line in response.iter_lines():
            if line:
                seen.append((line, time.monotonic()))
            if len(seen) == count:
                return seen
    raise AssertionError(f"the stream ended after {seen}")


def test_events_are_numbered_and_say_the_time(base_url):
    lines = [line for line, _ in lines_of(base_url, "?every=0.05", 6)]
    assert lines[0::2] == ["id: 1", "id: 2", "id: 3"]
    assert all(re.fullmatch(r"data: \d\d:\d\d:\d\d", line) for line in lines[1::2])


def test_events_arrive_when_they_are_made(base_url):
    lines = lines_of(base_url, "?every=0.2", 8)
    moments = [moment for _, moment in lines[0::2]]
    assert moments[-1] - moments[0] > 0.3, "the events came at once"


def test_a_quiet_stream_has_heartbeats(base_url):
    lines = [line for line, _ in lines_of(base_url, "?every=60&heartbeat=0.05", 5)]
    assert lines[0] == "id: 1"
    assert lines[2:] == [": still here"] * 3


@pytest.mark.parametrize("query", ["every=0", "every=-1", "every=nan", "every=inf", "every=soon", "heartbeat=0"])
def test_a_nonsense_interval_is_refused(base_url, query):
    assert httpx.get(f"{base_url}/events?{query}").status_code == 400


def test_the_page_reads_the_events_next_to_it(base_url):
    response = httpx.get(base_url + "/")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    prefix = httpx.URL(base_url).path.rstrip("/")
    assert f'<base href="{prefix}/">' in response.text
    assert 'new EventSource("events")' in response.text


def test_other_paths_are_not_found(base_url):
    assert httpx.get(base_url + "/nothing").status_code == 404
