"""Callback tokens and the platform's other secrets, from outside and from inside a function.

What a worker can do with a real token is tested in tests/invoker/core.
"""

import json
import os
import re
import socket
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tests.docker_engine import needs_an_engine

from .platform import FUNCTIONS, Platform, eventually
from .raw import RawClient

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """A platform whose workers dial back over TCP, with the functions `probe` and `snoop`."""
    yield from snooped("process")


@pytest.fixture(scope="module")
def boxed() -> Iterator[Platform]:
    """The same with containers, which dial back over a Unix socket of their own."""
    needs_an_engine()
    yield from snooped("docker")


@pytest.fixture(params=["platform", "boxed"])
def either(request: pytest.FixtureRequest) -> Platform:
    found: Platform = request.getfixturevalue(request.param)
    return found


def snooped(launcher: str) -> Iterator[Platform]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    platform = Platform(launcher=launcher, invoker=("--receiver", f"tcp://127.0.0.1:{port}"))
    try:
        platform.start()
        platform.receiver = port  # type: ignore[attr-defined]
        platform.deploy_probe()
        platform.deploy(FUNCTIONS / "snoop", "snoop")
        yield platform
    finally:
        platform.destroy()


def dial(platform: Platform, *lines: str, host: str | None = None, target: str = "/callback/v1") -> bytes:
    """The whole answer to an upgrade request, but for the date."""
    port = platform.receiver  # type: ignore[attr-defined]
    request = [
        f"GET {target} HTTP/1.1",
        f"Host: {host or f'127.0.0.1:{port}'}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol: dialback.1",
        *lines,
    ]
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall("\r\n".join([*request, "", ""]).encode())
        received = b""
        while b"\r\n\r\n" not in received or not received.endswith(b"\n"):
            received += client.recv(65536)
    return b"\r\n".join(line for line in received.split(b"\r\n") if not line.startswith(b"Date:"))


def guess(invocation: str = "0" * 26) -> str:
    return f"db1_00000000_{invocation}_{'a' * 64}"


def test_every_guess_gets_the_same_401(platform: Platform) -> None:
    served = platform.get("/@probe/hello").headers["x-dialback-id"]
    answers = {
        dial(platform),
        dial(platform, "Authorization: Bearer nonsense"),
        dial(platform, f"Authorization: Bearer {guess()}"),
        dial(platform, f"Authorization: Bearer {guess(served)}"),
        dial(platform, f"Authorization: Basic {guess(served)}"),
        dial(platform, target=f"/callback/v1?token={guess(served)}"),
    }
    (answer,) = answers
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert len(answer) < 1024


def test_a_browser_is_403_and_a_foreign_name_421(platform: Platform) -> None:
    assert dial(platform, "Origin: http://127.0.0.1").startswith(b"HTTP/1.1 403 ")
    assert dial(platform, host="rebound.example").startswith(b"HTTP/1.1 421 ")


def test_guessing_at_a_live_invocation_takes_as_long_as_at_none(platform: Platform, tag: str) -> None:
    with RawClient(platform.port) as client:
        client.get(f"/@probe/stream?tag={tag}&n=1&then=hang")
        head = client.until(b"line 0")
        live = head.lower().partition(b"x-dialback-id: ")[2][:26].decode()
        took: dict[str, list[float]] = {live: [], "0" * 26: []}
        for _ in range(200):
            for invocation, times in took.items():
                began = time.perf_counter()
                dial(platform, f"Authorization: Bearer {guess(invocation)}")
                times.append(time.perf_counter() - began)
    known, unknown = (statistics.median(times) for times in took.values())
    assert abs(known - unknown) < 0.5 * max(known, unknown)


def test_no_token_is_anywhere_where_somebody_could_read_it(either: Platform, tag: str) -> None:
    platform = either
    with ThreadPoolExecutor() as pool, RawClient(platform.port) as client:
        client.get(f"/@probe/stream?tag={tag}&n=2&then=hang")
        head = client.until(b"line 1")
        live = head.lower().partition(b"x-dialback-id: ")[2][:26].decode()
        bodies = [answer.text for answer in pool.map(platform.get, ["/@probe/hello", "/@probe/fails", "/@nobody/"])]
        surroundings = platform.get("/@snoop/surroundings")
        assert surroundings.json()["environ"]["AWS_LAMBDA_FUNCTION_NAME"] == "snoop"
        bodies += [surroundings.text, platform.get("/@probe/head").text]
        bodies += [json.dumps(platform.control(f"/v1/invocations/{live}"))]
        bodies += [json.dumps(platform.control("/v1/invocations"))]
        processes = family(platform)
        assert len(processes) >= 4, "invoker, edge and two workers"
        for pid in processes:
            bodies += [readable(Path(f"/proc/{pid}/{name}")) for name in ("environ", "cmdline")]
    done = platform.trace(surroundings.headers["x-dialback-id"])
    assert "[redacted]" in json.dumps(done)
    bodies.append(json.dumps(done))
    bodies.append(platform.command("trace", live, "--frames").stdout)
    platform.stop()
    files = [path for path in platform.root.rglob("*") if path.is_file() and "functions" not in path.parts]
    assert {"invoker.log", "edge.log", "dialback.db"} <= {path.name for path in files}
    bodies += [readable(path) for path in files]
    secret = (platform.data / "link.key").read_text().strip()
    for body in bodies:
        # The public parts may be shown, so that people can tell which invocation is meant.
        assert not tokens(body)
    shown = [readable(path) for path in files if path.name != "link.key"]
    assert not [text for text in shown if secret in text]
    platform.start()


def tokens(text: str) -> list[str]:
    """Tokens whose secret part is there."""
    return re.findall(r"db1_[0-9a-z]{1,16}_[0-9a-z]{26}_[0-9a-f]{16,}", text)


def family(platform: Platform) -> list[int]:
    """The platform's processes: services, and workers."""
    return [platform.invoker.pid, platform.edge.pid, *(int(str(one["pid"])) for one in platform.workers())]


def readable(path: Path) -> str:
    try:
        return path.read_bytes().decode("latin-1")
    except OSError:
        return ""


def test_no_door_opens_for_a_function_without_its_secret(platform: Platform) -> None:
    platform.get("/@probe/hello")
    said = platform.get("/@snoop/doors").json()
    kinds = {name.rpartition("/")[2].split()[0] for name in said}
    assert kinds == {"runtime.sock", "link.sock"}, "the receiver listens on TCP here"
    assert sum("runtime.sock" in name for name in said) >= 6, "its own, and another worker's"
    for name, answer in said.items():
        if "runtime.sock" in name:
            assert answer.startswith(("HTTP/1.1 403 ", "HTTP/1.1 400 ")), name
            assert answer.endswith("}")
        else:
            assert "HTTP" not in answer
            assert answer != "is still open"
            assert "x-forwarded" not in answer


def test_the_receivers_unix_socket_shows_strangers_out(shared: Platform) -> None:
    shared.deploy(FUNCTIONS / "snoop", "snoop")
    try:
        said = shared.get("/@snoop/doors").json()
        answers = [answer for name, answer in said.items() if "receiver.sock" in name]
        assert len(answers) == 3
        for answer in answers:
            assert answer == "" or "dialback-invoker" in answer, "its greeting at most"
            assert len(answer) < 200
    finally:
        shared.command("rm", "snoop")


def test_a_function_cannot_use_the_control_api(platform: Platform) -> None:
    for headers in ({}, {"authorization": "Bearer guessed"}, {"authorization": "Basic Og=="}):
        answer = httpx.get(f"{platform.control_url}/v1/functions", headers=headers)
        assert answer.status_code == 401
    foreign = {"authorization": f"Bearer {platform.token}", "origin": platform.url}
    assert httpx.get(f"{platform.control_url}/v1/functions", headers=foreign).status_code == 403
    port = urlsplit(platform.control_url).port
    rebound = {"authorization": f"Bearer {platform.token}", "host": f"rebound.example:{port}"}
    assert httpx.get(f"{platform.control_url}/v1/functions", headers=rebound).status_code == 403


def test_a_container_sees_no_door_but_its_own_and_none_opens_without_its_secret(boxed: Platform) -> None:
    boxed.get("/@probe/hello")
    said = boxed.get("/@snoop/doors").json()
    assert {name.split()[0] for name in said} == {"/run/dialback/receiver.sock", "/run/dialback/runtime.sock"}
    for name, answer in said.items():
        if "runtime.sock" in name:
            assert answer.startswith(("HTTP/1.1 403 ", "HTTP/1.1 400 ")), name
        else:
            assert answer == "" or "dialback-invoker" in answer, "its greeting at most"


def test_workers_are_given_nothing_of_the_platforms_environment(either: Platform) -> None:
    platform = either
    environ = platform.get("/@snoop/surroundings").json()["environ"]
    assert not [name for name in environ if name.startswith("DIALBACK")]
    assert not {"XDG_RUNTIME_DIR", "PYTHONPATH", "COVERAGE_PROCESS_CONFIG"} & environ.keys()
    assert environ["HOME"] != os.environ.get("HOME")
    eventually(lambda: platform.workers("snoop"), 30.0, "the function has a worker")
