"""Each time-out ends as the rules say: the client is cut at once, the worker takes no new work and goes."""

import time
from collections.abc import Callable

import httpx
import pytest

from .platform import FUNCTIONS, Platform, alive, eventually

pytestmark = pytest.mark.system


def test_head_is_a_504_and_the_worker_is_replaced(make: Callable[..., Platform], tag: str) -> None:
    platform = make()
    platform.deploy_probe(timeouts={"head": 1.0})
    first = platform.get("/@probe/pid").text
    response = platform.get(f"/@probe/wait?tag={tag}")
    assert response.status_code == 504
    assert response.json()["error"]["code"] == "timeout_head"
    assert platform.trace(response.headers["x-dialback-id"])["code"] == "sH"
    eventually(lambda: not alive(int(first)), 30.0, "the worker lives on")
    assert platform.get("/@probe/pid").text != first


def test_idle_truncates_a_silent_stream_and_no_busy_one(make: Callable[..., Platform], tag: str) -> None:
    platform = make()
    platform.deploy_probe(timeouts={"idle": 1.0})
    began = time.monotonic()
    with pytest.raises(httpx.RemoteProtocolError):
        platform.get(f"/@probe/stream?tag={tag}&n=2&then=hang")
    assert time.monotonic() - began < 15.0
    assert platform.get(f"/@probe/stream?tag={tag}&n=8&gap=0.1").text.endswith("line 7\n")


def test_total_truncates_however_busy_the_stream_is(make: Callable[..., Platform], tag: str) -> None:
    platform = make()
    platform.deploy_probe(timeouts={"total": 1.5})
    with pytest.raises(httpx.RemoteProtocolError):
        platform.get(f"/@probe/stream?tag={tag}&n=100&gap=0.05")
    assert platform.trace("last")["error"] == "timeout_total"


def test_start_is_a_504_for_a_worker_that_never_gets_ready(make: Callable[..., Platform], tag: str) -> None:
    platform = make()
    platform.deploy(FUNCTIONS / "slow_start", "slow", timeouts={"start": 0.5}, env={"SLOW_AFTER": "1"})
    response = platform.get("/@slow/")
    assert response.status_code == 504
    assert response.json()["error"]["code"] == "timeout_start"


def test_buffered_mode_holds_the_whole_run_to_the_head_time_out(make: Callable[..., Platform], tag: str) -> None:
    platform = make()
    platform.deploy_probe(mode="buffered", timeouts={"head": 1.5})
    assert platform.get(f"/@probe/stream?tag={tag}&n=3").text == "line 0\nline 1\nline 2\n"
    assert platform.get(f"/@probe/stream?tag={tag}&n=100&gap=0.1").status_code == 504
