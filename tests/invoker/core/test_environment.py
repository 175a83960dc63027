"""Variables on their way from the control API into workers: what a function finds, and what others cannot find."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from .node import Node

VALUE = "sk-live-7f3a9c51"
TELLS = b"""
import os

AT_IMPORT = os.environ.get("KEY")

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    path = scope["path"].removeprefix(scope["root_path"]).strip("/")
    if path == "wait":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": os.environ["KEY"].encode(), "more_body": True})
        await receive()
        await receive()
        return
    if path == "print":
        print("the key is", os.environ["KEY"])
    if path == "raise":
        raise RuntimeError("refused with " + os.environ["KEY"])
    names = path.split(",")
    body = "|".join([str(AT_IMPORT), *(str(os.environ.get(name)) for name in names)])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})
"""
NEEDS = b"import os\nKEY = os.environ['KEY']\n" + TELLS
REFUSES = b"import os\nraise RuntimeError('cannot use ' + os.environ['KEY'])\n"


async def set_(node: Node, name: str = "f", *, secret: bool = True, **values: str) -> Any:
    put = {key: {"value": value, "secret": secret} for key, value in values.items()}
    answer = await node.control.patch(f"/v1/functions/{name}/environment", json={"put": put})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
async def node(made: Callable[[Node], Awaitable[Any]]) -> Node:
    node: Node = await made(Node())
    return node


async def test_a_function_finds_its_variables_before_its_code_is_imported(node: Node) -> None:
    await set_(node, KEY=VALUE)
    await set_(node, secret=False, MODE="fast", LANG="fr_FR.UTF-8")
    await node.deploy("f", NEEDS, env={"MODE": "slow", "OWN": "yes"})
    assert (await node.http.get("/@f/KEY,MODE,OWN,LANG")).text == f"{VALUE}|{VALUE}|fast|yes|fr_FR.UTF-8"
    assert (await node.http.get("/@f/DIALBACK_CLOSED,DIALBACK_CONTROL_FD")).text == f"{VALUE}|None|None"


async def test_a_change_meets_the_next_request_and_leaves_those_that_run(node: Node) -> None:
    await set_(node, KEY="first-value")
    await node.deploy("f", TELLS)
    client = await node.client()
    client.get("/@f/wait")
    await client.until(b"first-value")
    (before,) = await node.workers()
    await set_(node, KEY="second-value")
    assert (await node.http.get("/@f/KEY")).text == "second-value|second-value"
    assert before["id"] in [worker["id"] for worker in await node.workers()], "the stream goes on"
    assert b"\r\n0\r\n\r\n" not in client.received
    client.close()
    answer = await node.control.patch("/v1/functions/f/environment", json={"remove": ["KEY"]})
    assert answer.status_code == 200
    assert (await node.http.get("/@f/KEY")).text == "None|None"


async def test_requests_that_come_while_variables_change_are_all_served(node: Node) -> None:
    await node.deploy("f", TELLS, max_workers=1)

    async def ask() -> str:
        return (await node.http.get("/@f/KEY")).text

    asked = [asyncio.create_task(ask()) for _ in range(10)]
    for number in range(5):
        await set_(node, KEY=f"value-{number}")
        asked += [asyncio.create_task(ask()) for _ in range(5)]
    answers = await asyncio.gather(*asked)
    assert all(answer == "None|None" or "|value-" in answer for answer in answers), answers
    assert (await ask()) == "value-4|value-4"


def held_by(pid: int) -> bytes:
    """Everything that `/proc` shows of how a process was started."""
    folder = Path(f"/proc/{pid}")
    return b"\n".join((folder / name).read_bytes() for name in ("environ", "cmdline", "comm", "status"))


async def test_a_secret_is_not_in_proc_nor_on_the_disk_nor_in_what_the_platform_answers(node: Node) -> None:
    await set_(node, KEY=VALUE)
    await node.deploy("f", TELLS)
    await node.deploy("other", TELLS)
    assert (await node.http.get("/@f/print")).status_code == 200
    failed = await node.http.get("/@f/raise")
    assert failed.status_code == 500
    assert "refused with [secret KEY]" in failed.text, "what the client gets is what the edge logs"
    assert (await node.http.get("/@other/KEY")).text == "None|None", "variables belong to one function"
    trace = await node.trace(failed.headers["x-dialback-id"])
    assert trace["detail"].endswith("refused with [secret KEY]")
    workers = await node.workers()
    assert len(workers) == 2
    for pid in [os.getpid(), *(worker["pid"] for worker in workers)]:
        assert VALUE.encode() not in held_by(pid)
    logs = ""
    while "the key is" not in logs:
        logs = (await node.control.get("/v1/functions/f/logs")).text
    assert "the key is [secret KEY]" in logs
    answers = [
        (await node.control.get(f"/v1/{path}")).text
        for path in ("platform", "functions", "workers", "functions/f/environment", "invocations?limit=100")
    ]
    assert VALUE not in "".join([logs, *answers, str(trace)])
    await node.invoker._recorder.close()
    for path in node.root.rglob("*"):
        assert path.is_symlink() or not path.is_file() or VALUE.encode() not in path.read_bytes(), path


SNOOPS = b"""
import os
from urllib.parse import parse_qs

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    wanted = parse_qs(scope["query_string"].decode())["backwards"][0][::-1].encode()
    found, looked = [], 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("environ", "cmdline"):
            try:
                with open(f"/proc/{pid}/{name}", "rb") as file:
                    content = file.read()
            except OSError:
                continue
            looked += 1
            if wanted in content:
                found.append(f"{pid}/{name}")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{looked > 5} {found}".encode()})
"""


async def test_another_function_finds_no_secret_in_proc(node: Node) -> None:
    await set_(node, KEY=VALUE)
    await node.deploy("f", TELLS)
    await node.deploy("snoop", SNOOPS)
    client = await node.client()
    client.get("/@f/wait")
    await client.until(VALUE.encode())
    assert (await node.http.get(f"/@snoop/?backwards={VALUE[::-1]}")).text == "True []"
    plain = "a-plain-value-1"
    await set_(node, "g", secret=False, PLAIN=plain)
    await node.deploy("g", TELLS)
    await node.http.get("/@g/")
    if os.getuid() == 0:
        assert "environ" in (await node.http.get(f"/@snoop/?backwards={plain[::-1]}")).text, "it can find things"


async def test_an_import_that_fails_says_why_without_the_secret(node: Node) -> None:
    await set_(node, KEY=VALUE)
    answer = await node.try_deploy("f", REFUSES)
    assert answer.status_code == 400
    assert "cannot use [secret KEY]" in answer.text
    assert VALUE not in answer.text


BREAKS = (
    b"""
import os
if os.environ.get("BROKEN"):
    raise RuntimeError("cannot start with " + os.environ["KEY"])
"""
    + TELLS
)


async def test_a_worker_that_cannot_start_is_logged_without_the_secret(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    await set_(node, KEY=VALUE)
    await node.deploy("f", BREAKS)
    await set_(node, secret=False, BROKEN="1")
    answer = await node.http.get("/@f/")
    assert answer.status_code == 502
    assert "cannot start with [secret KEY]" in caplog.text
    trace = await node.trace(answer.headers["x-dialback-id"])
    assert VALUE not in caplog.text + answer.text + str(trace)


async def test_a_secret_that_cannot_be_opened_stops_its_own_function_alone(node: Node) -> None:
    await set_(node, KEY=VALUE)
    await node.deploy("f", TELLS)
    await node.deploy("other", TELLS)
    node.invoker._variables._ring._keys = [b"k" * 32]
    assert (await node.http.get("/@f/")).status_code == 500
    assert (await node.http.get("/@other/KEY")).status_code == 200
    await set_(node, KEY="set-again")
    assert (await node.http.get("/@f/KEY")).text == "set-again|set-again"


async def test_removing_a_function_forgets_its_variables(node: Node) -> None:
    await set_(node, KEY=VALUE)
    await node.deploy("f", TELLS)
    await node.control.delete("/v1/functions/f")
    await node.deploy("f", TELLS)
    assert (await node.http.get("/@f/KEY")).text == "None|None"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has /proc and prctl")
def test_another_process_of_the_same_user_cannot_look_into_a_worker_with_secrets(tmp_path: Path) -> None:
    script = tmp_path / "closed.py"
    script.write_text(
        "import ctypes, os\n"
        "from dialback_bridge.seclusion import seclude\n"
        "if os.getuid() == 0:\n"
        "    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)\n"
        "def look(pid):\n"
        "    try:\n"
        "        return open(f'/proc/{pid}/environ', 'rb').read().__class__.__name__\n"
        "    except OSError as error:\n"
        "        return type(error).__name__\n"
        "there, here = os.pipe(); go, ahead = os.pipe()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os.read(go, 1); os.write(here, b'01'[seclude():][:1]); os.read(go, 1); os._exit(0)\n"
        "before = look(child); os.write(ahead, b'x'); done = os.read(there, 1); after = look(child)\n"
        "os.write(ahead, b'x'); os.waitpid(child, 0)\n"
        "print(before, done.decode(), after)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split() == ["bytes", "1", "PermissionError"], done.stderr
