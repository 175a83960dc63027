"""A worker that cannot reach the receiver: the client gets 504, and the handler never runs."""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .platform import Platform

pytestmark = pytest.mark.system


def receiver_socket(platform: Platform) -> Path:
    return next((platform.root / "run").glob("dialback-*/receiver.sock"))


def test_a_receiver_that_is_gone_is_a_504(make: Callable[..., Platform], tag: str) -> None:
    platform = make()
    platform.deploy_probe()
    receiver_socket(platform).unlink()
    response = platform.get(f"/@probe/hello?tag={tag}")
    assert response.status_code == 504
    assert response.json()["error"]["code"] == "receiver_unreachable"
    assert platform.notes(tag) == []


def test_a_receiver_that_never_answers_is_a_504(make: Callable[..., Platform], tag: str) -> None:
    platform = make()
    platform.deploy_probe()
    path = receiver_socket(platform)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen(8)
        response = platform.get(f"/@probe/hello?tag={tag}")
    assert response.status_code == 504
    assert platform.notes(tag) == []


def test_the_function_serves_again_once_the_receiver_is_back(make: Callable[..., Platform], tag: str) -> None:
    platform = make()
    platform.deploy_probe()
    path = receiver_socket(platform)
    path.rename(path.with_suffix(".away"))
    assert platform.get("/@probe/hello").status_code == 504
    path.with_suffix(".away").rename(path)
    assert platform.get("/@probe/hello").text == "Hello world\n"


@contextmanager
def firewalled(port: int) -> Iterator[None]:
    """Drops everything that is sent to a port of this machine."""
    rule = ["INPUT", "-i", "lo", "-p", "tcp", "--dport", str(port), "-j", "DROP"]
    subprocess.run(["iptables", "-w", "-I", *rule], check=True)
    try:
        yield
    finally:
        subprocess.run(["iptables", "-w", "-D", *rule], check=True)


def can_firewall() -> bool:
    return shutil.which("iptables") is not None and os.geteuid() == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_firewalled_receiver_is_a_504_and_the_handler_never_ran(make: Callable[..., Platform], tag: str) -> None:
    if not can_firewall():
        message = "iptables or root is missing: the firewalled receiver is NOT tested"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    port = free_port()
    platform = make(invoker=("--receiver", f"tcp://127.0.0.1:{port}"))
    platform.deploy_probe()
    with firewalled(port):
        response = platform.get(f"/@probe/hello?tag={tag}")
    assert response.status_code == 504
    assert platform.notes(tag) == []
    assert platform.get("/@probe/hello").text == "Hello world\n"
