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


def test_one_command_ends_everything_and_a_stream_comes_to_its_end(make: Make, slow: Path) -> None:
    composed = make(**HELLO)
    before = Belongings.now(composed.project)
    composed.up()
    answers(composed)
    composed.command("deploy", str(slow))
    got: list[str] = []
    began = threading.Event()

    def read() -> None:
        with httpx.stream("GET", f"{composed.url}/@slow/", timeout=30) as answer:
            for line in answer.iter_lines():
                got.append(line)
                began.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert began.wait(30)
    composed.down()
    reader.join(30)
    assert got == [f"chunk {number}" for number in range(8)]
    assert Belongings.now(composed.project) == before


def test_what_was_deployed_is_there_after_down_and_up(make: Make, slow: Path) -> None:
    composed = make(**HELLO)
    composed.up()
    answers(composed)
    token = composed.token
    (slow / "app.py").write_text(SLOW.replace("range(8)", "range(1)"))
    composed.command("deploy", str(slow), "--name", "hello")
    composed.compose("down")
    composed.up()
    assert composed.token == token
    assert composed.get("/@hello/").text == "chunk 0\n", "the example came back over what was deployed"


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


def test_an_invoker_that_crashed_comes_back_and_sweeps(make: Make) -> None:
    composed = make(**HELLO)
    composed.up()
    answers(composed)
    first = workers_of(composed)
    assert first
    composed.inside("invoker", "sh", "-c", CRASH, check=False)
    eventually(lambda: not first & workers_of(composed), 30, "workers of the earlier invoker are still there")
    answers(composed)
    assert workers_of(composed)


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
