"""Every request runs at most once, whatever dies under it."""

import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from .platform import Platform, eventually
from .relay import Relay

pytestmark = pytest.mark.system


def ask(platform: Platform, tag: str) -> int:
    """The status of a request that takes a while; 0 when the connection broke."""
    try:
        return platform.get(f"/@probe/wait?seconds=60&tag={tag}").status_code
    except httpx.TransportError:
        return 0


def while_waiting(platform: Platform, tag: str, then: Callable[[], None]) -> int:
    with ThreadPoolExecutor() as pool:
        answer: Future[int] = pool.submit(ask, platform, tag)
        platform.await_note(tag, "called")
        then()
        return answer.result(20)


def test_a_get_is_not_repeated_when_its_worker_dies(make: Callable[..., Platform], tag: str) -> None:
    platform = make()
    platform.deploy_probe()
    status = while_waiting(platform, tag, lambda: os.kill(platform.worker_pid(), signal.SIGKILL))
    assert status == 502
    platform.get("/@probe/hello")
    assert platform.notes(tag) == ["called"]


def test_a_get_is_not_repeated_when_the_invoker_dies(make: Callable[..., Platform], tag: str) -> None:
    platform = make()
    platform.deploy_probe()

    def restart() -> None:
        platform.invoker.kill()
        platform.start_invoker()

    assert while_waiting(platform, tag, restart) == 502
    eventually(lambda: platform.get("/@probe/hello").status_code == 200, 30.0, "the edge did not find the new invoker")
    assert platform.notes(tag) == ["called"]


def test_a_get_is_not_repeated_when_the_edge_dies(make: Callable[..., Platform], tag: str) -> None:
    platform = make()
    platform.deploy_probe()
    port = platform.port

    def restart() -> None:
        platform.edge.kill()
        platform.start_edge(port)

    assert while_waiting(platform, tag, restart) == 0
    assert platform.get("/@probe/hello").status_code == 200
    assert platform.notes(tag) == ["called"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short one, for sockets."""
    with tempfile.TemporaryDirectory(prefix="db-", dir="/tmp") as made:
        yield Path(made)


def test_a_get_is_not_repeated_when_its_link_is_cut(make: Callable[..., Platform], tag: str, folder: Path) -> None:
    relay = Relay(folder / "relay", folder / "link")
    platform = make(invoker=("--link", f"unix:{folder}/link"), edge=("--link", f"unix:{folder}/relay"))
    platform.deploy_probe()

    def cut() -> None:
        assert relay.cut() == 1

    assert while_waiting(platform, tag, cut) == 502
    eventually(lambda: platform.get("/@probe/hello").status_code == 200, 10.0, "the edge did not link again")
    assert platform.notes(tag) == ["called"]
    relay.close()


def test_the_function_learns_that_the_edge_died(make: Callable[..., Platform], tag: str) -> None:
    platform = make()
    platform.deploy_probe()
    with socket.create_connection(("127.0.0.1", platform.port), timeout=60) as client:
        client.sendall(f"GET /@probe/watch?tag={tag} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        platform.await_note(tag, "waiting")
        platform.edge.kill()
    assert platform.await_note(tag, "disconnect")


def test_without_an_invoker_the_edge_answers_503_and_says_when_to_come_back(make: Callable[..., Platform]) -> None:
    platform = make()
    platform.invoker.kill()
    response = platform.get("/@probe/hello")
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert platform.get("/_dialback/health").status_code == 503
