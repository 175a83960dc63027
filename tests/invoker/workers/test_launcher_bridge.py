"""The pool with the real bridge as its workers: answers, a function that cannot be loaded, exit on retirement."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.invoker.workers.conftest import Platform, within

from dialback_invoker.launchers.base import LaunchFailed, WorkerSpec
from dialback_invoker.launchers.process import ProcessLauncher
from dialback_invoker.lease import Response

HANDLER = """
import os, sys
def handler(event, context):
    print("seen", event["rawPath"])
    return {"statusCode": 201, "body": 'made', "headers": {"x-first": sys.path[0], "x-id": context.aws_request_id}}
"""


def event(path: str) -> dict[str, Any]:
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": "localhost"},
        "requestContext": {"http": {"method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1"}},
        "isBase64Encoded": False,
    }


@pytest.fixture
async def platform(run_dir: Path, tmp_path: Path) -> AsyncIterator[Platform]:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "app.py").write_text(HANDLER)
    (bundle / "broken.py").write_text("import nothing_of_that_name\n")
    for name in ("queue", "types", "websockets"):  # the bridge and its libraries must not get these
        (bundle / f"{name}.py").write_text("raise RuntimeError('imported instead of the real one')\n")
    launcher = ProcessLauncher(run_dir)
    made = Platform(launcher, WorkerSpec("hello", "d1", bundle, "app:handler"))
    yield made
    for pool in made.pools:
        await within(pool.stop(0))
    await launcher.close()


async def test_a_function_answers_and_its_print_is_attributed(platform: Platform, run_dir: Path) -> None:
    pool = platform.pool()
    lease = await platform.take(pool)
    name = platform.hand(lease, **event("/there"))
    answer = await within(lease.result)
    lease.release()
    assert isinstance(answer, Response)
    value = json.loads(answer.body)
    assert value["statusCode"] == 201
    assert value["headers"]["x-first"] == str(run_dir / "workers" / lease.worker.id / "code")
    assert value["headers"]["x-id"] == name
    await platform.until(lambda: platform.lines)
    assert [(line.invocation, line.stream, line.line) for line in platform.lines] == [(name, "stdout", "seen /there")]


async def test_a_retired_bridge_exits_by_itself(platform: Platform) -> None:
    pool = platform.pool()
    lease = await platform.take(pool)
    lease.release()
    await pool.retire()
    await within(pool.closed())
    assert lease.worker._running is not None
    assert lease.worker._running.exited.result().code == 0


async def test_an_import_that_fails_reaches_the_developer(platform: Platform) -> None:
    pool = platform.pool(spec={"entry": "broken:handler"})
    with pytest.raises(LaunchFailed, match="nothing_of_that_name") as caught:
        await platform.take(pool)
    assert caught.value.code == "init_error"
    assert caught.value.function_error is not None
    assert any("nothing_of_that_name" in line.line for line in platform.lines)
