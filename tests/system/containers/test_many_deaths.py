"""Two hundred workers die in mid-stream in every way there is, and nothing of them is left."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from ..platform import Platform, eventually

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

DEATHS = int(os.environ.get("DIALBACK_TEST_REPEATS", "200"))
FUNCTIONS = ("one", "two", "three", "four", "outgoing")
"""They die beside each other; the last one's workers have a network."""
WAYS = ("hang killed", "exit", "hoard", "hang removed")
"""What the stream does after its head, and what is done to its container."""


def leftovers(platform: Platform, client: Any) -> dict[str, int]:
    """What could leak, counted."""
    pid = platform.invoker.pid
    return {
        "containers": len(platform.containers(client)),
        "networks": len(client.networks(filters={"label": f"dialback.platform={platform.mark}"})),
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": len(os.listdir(f"/proc/{pid}/task")),
        "doors": len([*(platform.root / "run").glob("*/doors/*")]),
    }


def die(platform: Platform, client: Any, function: str, way: str) -> None:
    """One worker begins a stream and dies. The client sees that it did not end."""
    then, _, done = way.partition(" ")
    with httpx.stream("GET", f"{platform.url}/@{function}/stream?n=1&then={then}", timeout=60) as response:
        if response.status_code == 502:
            return  # it died before its head was through
        lines = response.iter_lines()
        if done:
            assert next(lines) == "line 0"
            (container,) = platform.containers(client, function, status="running")
            if done == "killed":
                client.kill(container["Id"])
            else:
                client.remove_container(container["Id"], force=True)
        with pytest.raises(httpx.RemoteProtocolError):
            list(lines)


def test_nothing_is_left_after_two_hundred_deaths(start: Callable[..., Platform], client: Any) -> None:
    platform = start()
    for function in FUNCTIONS:
        network = "outside" if function == "outgoing" else "none"
        platform.deploy_probe(function, network=network, idle_seconds=1, memory_mb=64)

    def series(function: str, deaths: int) -> None:
        for number in range(deaths):
            die(platform, client, function, WAYS[number % len(WAYS)])

    def everybody(deaths: int) -> dict[str, int]:
        """What is left when that many have died."""
        with ThreadPoolExecutor(len(FUNCTIONS)) as pool:
            for each in [pool.submit(series, function, deaths // len(FUNCTIONS)) for function in FUNCTIONS]:
                each.result(300)
        eventually(lambda: not platform.containers(client), 20.0, "a container stays")
        eventually(lambda: not leftovers(platform, client)["networks"], 20.0, "a network stays")
        return leftovers(platform, client)

    before = everybody(len(FUNCTIONS) * len(WAYS))  # every connection that is kept has been opened
    after = everybody(DEATHS)
    assert all(count <= before[name] + 3 for name, count in after.items()), f"{before} became {after}"
    assert "killed" in platform.command("logs", "one").stdout
    assert platform.get("/@one/hello").text == "Hello world\n"
