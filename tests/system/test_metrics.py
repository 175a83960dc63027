"""The counters of a whole platform are those of the requests that were made: both services, each on its own port."""

import socket
from collections.abc import Callable

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from .platform import Platform, eventually

pytestmark = pytest.mark.system


def counters(url: str, name: str, *labels: str) -> dict[tuple[str, ...], int]:
    """The samples of a counter by these labels."""
    found: dict[tuple[str, ...], int] = {}
    for family in parse(httpx.get(url, timeout=60).text):
        for sample in family.samples:
            if sample.name == name:
                key = tuple(sample.labels[label] for label in labels)
                found[key] = found.get(key, 0) + int(sample.value)
    return found


def test_the_counters_are_those_of_the_requests_that_were_made(make: Callable[..., Platform], tag: str) -> None:
    platform = make(edge=("--metrics", "tcp://127.0.0.1:0"))
    platform.deploy_probe()
    platform.deploy_probe("hasty", timeouts={"head": 0.3})
    for _ in range(5):
        assert platform.get("/@probe/hello").status_code == 200
    for _ in range(3):
        assert platform.get("/@nobody/").status_code == 404
    assert platform.get(f"/@probe/fails?tag={tag}").status_code == 500
    with pytest.raises(httpx.RemoteProtocolError):
        platform.get(f"/@probe/stream?tag={tag}&n=3&then=raise")
    assert platform.get(f"/@hasty/wait?tag={tag}").status_code == 504
    with socket.create_connection(("127.0.0.1", platform.port)) as leaver:
        leaver.sendall(f"GET /@probe/stream?tag={tag}2&n=1000 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert leaver.recv(100).startswith(b"HTTP/1.1 200")

    edge, invoker = str(platform.edge.ready["metrics_url"]), f"{platform.control_url}/metrics"

    def over() -> dict[tuple[str, ...], int] | None:
        found = counters(invoker, "dialback_invocations_total", "function", "verdict", "code")
        return found if sum(found.values()) == 12 else None

    assert eventually(over, 30.0, "not all are over") == {
        ("probe", "ok", "--"): 5,
        ("", "error", "LR"): 3,
        ("probe", "error", "FH"): 1,
        ("probe", "error", "FD"): 1,
        ("hasty", "timeout", "sH"): 1,
        ("probe", "cancelled", "CD"): 1,
    }
    assert counters(edge, "dialback_http_requests_total", "status", "code") == {
        ("200", "--"): 5,
        ("404", "LR"): 3,
        ("500", "FH"): 1,
        ("200", "FD"): 1,
        ("504", "sH"): 1,
        ("200", "CD"): 1,
    }
    assert counters(invoker, "dialback_worker_starts_total", "function", "result") == {
        ("probe", "ready"): 1,
        ("hasty", "ready"): 1,
    }
    parts = counters(invoker, "dialback_cold_start_seconds_count", "function", "part")
    assert {part for function, part in parts if function == "probe"} == {"launch", "load", "dial", "head"}
    assert {part for function, part in parts if function == "hasty"} == {"launch", "load", "dial"}, "no head came"
