"""Starting and stopping: what stays, what goes, several edges."""

import json
import os
import subprocess
import threading
from pathlib import Path

import httpx
import pytest

from ..platform import eventually
from .composed import UP_SECONDS, Belongings, Composed, Engine, docker
from .conftest import Make

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(UP_SECONDS * 3)]

SLOW = """
import asyncio


async def handler(event, context):
    for number in range(8):
        yield f"chunk {number}\\n"
        await asyncio.sleep(0.5)
"""
CRASH = (
    'for p in /proc/[0-9]*; do tr "\\0" " " <$p/cmdline | grep -q "^/opt.*serve invoker" && kill -9 ${p#/proc/}; done'
)
HELLO = {"DIALBACK_FUNCTIONS": "/opt/examples/hello"}


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    folder = tmp_path / "slow"
    folder.mkdir()
    (folder / "app.py").write_text(SLOW)
    return folder


def answers(composed: Composed) -> None:
    """`hello` is there and answers."""
    eventually(lambda: composed.get("/@hello/").text == "Hello world\n", 30, "hello does not answer")


def test_one_command_ends_everything_a_stream_comes_to_its_end_and_the_next_up_finds_its_data(
    make: Make, slow: Path
) -> None:
    composed = make(**HELLO)
    before = Belongings.now(composed.project)
    composed.up()
    answers(composed)
    token = composed.token
    composed.command("deploy", str(slow), "--name", "hello")
    got: list[str] = []
    began = threading.Event()

    def read() -> None:
        with httpx.stream("GET", f"{composed.url}/@hello/", timeout=30) as answer:
            for line in answer.iter_lines():
                got.append(line)
                began.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert began.wait(30)
    composed.compose("down")
    reader.join(30)
    assert got == [f"chunk {number}" for number in range(8)]
    left = Belongings.now(composed.project)
    assert (left.containers, left.networks) == (before.containers, before.networks)
    assert len(left.volumes) == 3
    composed.up()
    assert composed.token == token
    assert composed.get("/@hello/").text.startswith("chunk 0\n"), "the example came back over what was deployed"
    composed.down()
    assert Belongings.now(composed.project) == before


def test_two_edges_share_the_published_port(make: Make) -> None:
    composed = make(**HELLO)
    composed.files = ("docker-compose.yml", "edges.yml")
    before = Belongings.now(composed.project)
    composed.up("--scale", "edge=2")
    answers(composed)

    def both() -> bool:
        composed.get("/@hello/")
        logs = [docker("logs", composed.container("edge", number)) for number in (1, 2)]
        return all('"path": "/@hello/"' in log for log in logs)

    eventually(both, 20, "one of the edges got no connection")
    answer = httpx.post(
        f"{composed.control_url}/v1/runs",
        json={"function": "hello", "mode": "callback"},
        headers={"authorization": f"Bearer {composed.token}"},
        timeout=30,
    )
    assert '"ok":true' in answer.text.replace(" ", ""), "the invoker does not reach the edges"
    docker("kill", "--signal", "TERM", composed.container("edge", 1))
    docker("wait", composed.container("edge", 1))
    for _ in range(10):
        assert composed.get("/@hello/").text == "Hello world\n"
    composed.down()
    assert Belongings.now(composed.project) == before


def test_what_a_killed_invoker_left_is_taken_by_down(make: Make) -> None:
    composed = make(**HELLO, DIALBACK_RESTART="no")
    before = Belongings.now(composed.project)
    composed.up()
    answers(composed)
    docker("kill", composed.container("invoker"))
    left = Belongings.now(composed.project).containers
    assert any("dialback.function=hello" in container for container in left), "the test's subject is gone already"
    composed.compose("down", "--volumes", "--remove-orphans")
    assert Belongings.now(composed.project) == before


def test_an_invoker_that_crashed_comes_back_and_sweeps(platform: Composed, slow: Path) -> None:
    (slow / "app.py").write_text(SLOW.replace("range(8)", "range(1)"))
    platform.command("deploy", str(slow))
    assert platform.get("/@slow/").text == "chunk 0\n"
    first = workers_of(platform)
    assert first
    platform.inside("invoker", "sh", "-c", CRASH, check=False)
    eventually(lambda: not first & workers_of(platform), 30, "workers of the earlier invoker are still there")
    eventually(lambda: platform.get("/@slow/").status_code == 200, 30, "it does not serve again")
    assert workers_of(platform)
    platform.command("rm", "slow")


def workers_of(composed: Composed) -> set[str]:
    """The containers of functions, whatever they do."""
    listed = docker(
        *("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={composed.project}"),
        *("--filter", "label=dialback.function"),
    )
    return set(listed.split())


def test_a_socket_that_may_not_be_used_is_named_with_its_group(make: Make, engine: Engine) -> None:
    composed = make(**HELLO, DIALBACK_DOCKER_GROUP="54321", DIALBACK_RESTART="no")
    failed = composed.compose("up", "--detach", "--wait", check=False)
    assert failed.returncode != 0
    assert f"DIALBACK_DOCKER_GROUP={engine.group} in deploy/.env" in composed.logs("invoker")


@pytest.mark.parametrize(("said", "groups"), [("", ["0", *map(str, range(100, 1000))]), ("998", ["998"])])
def test_the_invoker_is_in_the_group_that_was_said_else_in_any_that_the_socket_may_have(
    checkout: Path, engine: Engine, said: str, groups: list[str]
) -> None:
    composed = Composed(checkout, engine, DIALBACK_DOCKER_GROUP=said)
    services = json.loads(composed.compose("config", "--format", "json").stdout)["services"]
    assert services["invoker"]["group_add"] == groups
    assert not [name for name, service in services.items() if name != "invoker" and service.get("group_add")]


def test_the_short_command_finds_the_socket_and_its_group(checkout: Path, engine: Engine) -> None:
    environ = {
        name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG") if name in os.environ
    }
    done = subprocess.run(
        ["deploy/compose", "config", "--format", "json"],
        cwd=checkout,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    invoker = json.loads(done.stdout)["services"]["invoker"]
    assert invoker["group_add"] == [str(engine.group)]
    assert engine.socket in [volume["source"] for volume in invoker["volumes"]]
