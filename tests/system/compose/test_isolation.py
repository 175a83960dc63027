"""From inside a worker's container, with the widest network that a function can ask for."""

import json
from pathlib import Path

import pytest

from ..platform import eventually
from .composed import UP_SECONDS, Composed, docker

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(UP_SECONDS * 2)]

PROBE = """
import json
import os
import socket
from urllib.parse import parse_qs

listening = socket.create_server(("0.0.0.0", 7777))


def reaches(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def handler(event, context):
    asked = parse_qs(event["rawQueryString"]).get("to", [])
    sockets = [path for path in ("/run/docker.sock", "/var/run/docker.sock") if os.path.exists(path)]
    return {"reached": [address for address in asked if reaches(address)], "sockets": sockets, "env": dict(os.environ)}
"""


@pytest.fixture
def probes(platform: Composed, tmp_path: Path) -> list[str]:
    """Two functions with a way outside, each of which listens on port 7777; the addresses of their containers."""
    found = []
    for name in ("prober", "sibling"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "app.py").write_text(PROBE)
        (folder / "dialback.toml").write_text('network = "outside"\nmax_workers = 1\n')
        platform.command("deploy", str(folder))
        platform.get(f"/@{name}/")
        found.append(eventually(lambda name=name: address_of(platform, name), 20, f"{name} has no container"))
    return found


def containers_of(platform: Composed, function: str) -> list[str]:
    """The ids of a function's workers."""
    return docker(
        *("ps", "--quiet", "--filter", f"label=com.docker.compose.project={platform.project}"),
        *("--filter", f"label=dialback.function={function}"),
    ).split()


def address_of(platform: Composed, function: str) -> str | None:
    containers = containers_of(platform, function)
    if not containers:
        return None
    [network] = json.loads(docker("inspect", containers[0]))[0]["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])


def test_a_worker_reaches_neither_the_platform_nor_the_socket_nor_a_sibling(
    platform: Composed, probes: list[str]
) -> None:
    own, sibling = probes
    networks = platform.inspect("invoker")["NetworkSettings"]["Networks"]  # type: ignore[index]
    forbidden = [
        *(f"{network['IPAddress']}:{port}" for network in networks.values() for port in (8081, 9000)),
        *(f"{network['Gateway']}:{port}" for network in networks.values() for port in (8081, platform.control_port)),
        *(f"{own.rpartition('.')[0]}.1:{port}" for port in (platform.control_port, platform.port, 2375, 2376)),
        *("invoker.control:8081", "invoker.link:9000", "invoker:8081"),
        f"{sibling}:7777",
    ]
    targets = "&".join(f"to={address}" for address in [*forbidden, f"{own}:7777"] if not address.startswith(":"))
    told = json.loads(platform.get(f"/@prober/?{targets}").text)
    assert told["reached"] == [f"{own}:7777"], "it must reach itself, which shows that it looked, and nobody else"
    assert told["sockets"] == []
    assert platform.token not in json.dumps(told["env"])
    for name in ("prober", "sibling"):
        platform.command("rm", name)


def test_when_the_workers_image_was_pruned_a_build_brings_functions_back(platform: Composed, tmp_path: Path) -> None:
    folder = tmp_path / "pruned"
    folder.mkdir()
    (folder / "app.py").write_text('def handler(event, context):\n    return "here"\n')
    platform.command("deploy", str(folder))
    assert platform.get("/@pruned/").text == "here"
    image = f"dialback/worker-python:{platform.environ['DIALBACK_VERSION']}"
    docker("rmi", "--force", image)
    docker("rm", "--force", *containers_of(platform, "pruned"))
    assert platform.get("/@pruned/").status_code == 502
    assert f"the image {image} is missing" in platform.logs("invoker")
    platform.compose("build", "--quiet", "worker")
    eventually(lambda: platform.get("/@pruned/").text == "here", 30, "the function did not come back")
    platform.command("rm", "pruned")
