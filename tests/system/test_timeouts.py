"""Each time-out ends as the rules say: the client is cut at once, the worker takes no new work and goes."""

import time
from collections.abc import Callable

import httpx
import pytest

from .platform import FUNCTIONS, Platform, alive, eventually

pytestmark = pytest.mark.system

Deploy = Callable[..., str]


def test_head_is_a_504_and_the_worker_is_replaced(shared: Platform, deploy: Deploy, tag: str) -> None:
    name = deploy(timeouts={"head": 1.0})
    first = shared.worker_pid(name)
    response = shared.get(f"/@{name}/wait?tag={tag}")
    assert response.status_code == 504
    assert response.json()["error"]["code"] == "timeout_head"
    assert shared.trace(response.headers["x-dialback-id"])["code"] == "sH"
    eventually(lambda: not alive(first), 30.0, "the worker lives on")
    eventually(lambda: shared.get(f"/@{name}/hello").status_code == 200, 30.0, "no worker follows it")
    assert shared.worker_pid(name) != first


def test_idle_truncates_a_silent_stream_and_no_busy_one(shared: Platform, deploy: Deploy, tag: str) -> None:
    name = deploy(timeouts={"idle": 1.0})
    began = time.monotonic()
    with pytest.raises(httpx.RemoteProtocolError):
        shared.get(f"/@{name}/stream?tag={tag}&n=2&then=hang")
    assert time.monotonic() - began < 15.0
    assert shared.get(f"/@{name}/stream?tag={tag}&n=8&gap=0.1").text.endswith("line 7\n")


def test_total_truncates_however_busy_the_stream_is(shared: Platform, deploy: Deploy, tag: str) -> None:
    name = deploy(timeouts={"total": 1.5})
    # A start counts, too.
    eventually(lambda: shared.get(f"/@{name}/hello").status_code == 200, 30.0, "no worker is there")
    with httpx.stream("GET", f"{shared.url}/@{name}/stream?tag={tag}&n=100&gap=0.05", timeout=30) as response:
        with pytest.raises(httpx.RemoteProtocolError):
            response.read()
        identity = response.headers["x-dialback-id"]
    assert shared.trace(identity)["error"] == "timeout_total"


def test_start_is_a_504_for_a_worker_that_never_gets_ready(shared: Platform, deploy: Deploy, tag: str) -> None:
    name = deploy(FUNCTIONS / "slow_start", timeouts={"start": 0.5}, env={"SLOW_AFTER": "1"})
    response = shared.get(f"/@{name}/")
    assert response.status_code == 504
    assert response.json()["error"]["code"] == "timeout_start"


def test_buffered_mode_holds_the_whole_run_to_the_head_time_out(shared: Platform, deploy: Deploy, tag: str) -> None:
    name = deploy(mode="buffered", timeouts={"head": 1.5})
    assert shared.get(f"/@{name}/stream?tag={tag}&n=3").text == "line 0\nline 1\nline 2\n"
    assert shared.get(f"/@{name}/stream?tag={tag}&n=100&gap=0.1").status_code == 504
