"""The fixtures, used by a test session of a project that has nothing but `dialback` installed."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dialback.errors import CliError, StartProblem
from dialback.testing import TestPlatform

FUNCTION = """
import asyncio, os

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    print("asked for", scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": os.environ.get("GREETING", "hi").encode(), "more_body": True})
    if scope["path"].endswith("/endless"):
        await receive()
        await receive()
        print("left")
        return
    await send({"type": "http.response.body", "body": os.environ.get("KEY", "").encode()})
"""
TESTS = """
from pathlib import Path

import httpx

def test_it_answers(dialback_platform):
    function = dialback_platform.deploy("fn", env={"GREETING": "hello "}, secrets={"KEY": "hush-hush"})
    assert function.name == "fn"
    response = function.get("path")
    assert response.text == "hello hush-hush"
    assert httpx.get(function.url).status_code == 200
    assert function.trace(response).verdict == "ok"
    assert "asked for" in function.wait_for_log("asked for").line
    Path("url").write_text(dialback_platform.url)
    Path("root").write_text(str(dialback_platform._root))

def test_the_platform_is_the_same(dialback_platform):
    assert Path("url").read_text() == dialback_platform.url
    function = dialback_platform.deploy("fn")
    with function.stream("GET", "endless") as response:
        assert next(response.iter_bytes()) == b"hello "
    assert function.trace(response).verdict == "cancelled"
    function.wait_for_log(lambda line: line.line == "left")
    function.set_env(GREETING="new ")
    assert function.post().text == "new hush-hush"
    assert function.logs()
    function.remove()
    assert httpx.get(function.url).status_code == 404

def test_a_platform_of_ones_own(dialback_platform, dialback_platforms):
    own = dialback_platforms("--buffering-proxy")
    assert own.url != dialback_platform.url
    assert own.deploy("fn", "other").get().headers["connection"] == "close"
"""


def test_the_fixtures_give_a_platform_and_leave_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "fn").mkdir()
    (tmp_path / "fn" / "app.py").write_text(FUNCTION)
    (tmp_path / "test_fn.py").write_text(TESTS)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:asyncio",
            "-W",
            "error",
            "test_fn.py",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr
    assert not Path((tmp_path / "root").read_text()).exists()


def test_a_function_that_is_broken_is_named_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import asyncio\ndef broken(:\n")
    with TestPlatform() as platform, pytest.raises(CliError, match=r"cannot be deployed: app\.py:2: "):
        platform.deploy(tmp_path, "broken")
    with pytest.raises(StartProblem, match="does not run"):
        platform.logs("broken")
    assert platform.stop() is None


def test_what_does_not_come_is_an_assertion(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(FUNCTION)
    with TestPlatform() as platform:
        function = platform.deploy(tmp_path, "fn")
        with pytest.raises(AssertionError, match=r"fn did not log 'never' within 0\.1 seconds"):
            function.wait_for_log("never", 0.1)


def test_a_platform_that_cannot_start_says_why() -> None:
    with pytest.raises(StartProblem, match=r"did not start: .*--latency: 'x' is not a number"):
        TestPlatform("--latency", "x").start()


def test_a_platform_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import os, signal\nfrom dialback.testing import TestPlatform\n"
        "platform = TestPlatform().start()\nprint(platform._process.pid, platform._root, flush=True)\ninput()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdin is not None
    pid, root = parent.stdout.readline().decode().split()
    watched = os.pidfd_open(int(pid))
    parent.send_signal(signal.SIGKILL)
    parent.wait(30)
    poll = select.poll()
    poll.register(watched, select.POLLIN)
    assert poll.poll(15_000), "the platform is gone, too"
    assert not Path(root).exists()
    os.close(watched)
    parent.stdout.close()
    parent.stdin.close()
