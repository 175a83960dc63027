"""The examples on a platform: their own tests, and what only a platform can show."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from .platform import Platform

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = sorted(path.parent for path in (ROOT / "examples").glob("*/README.md"))


@pytest.fixture(scope="module")
def examples() -> Iterator[Platform]:
    """A platform with every example deployed, as `make run` deploys them."""
    platform = Platform()
    try:
        platform.start()
        for folder in FOLDERS:
            platform.command("deploy", str(folder))
        yield platform
    finally:
        platform.destroy()


def by_path(platform: Platform) -> str:
    return platform.url + "/@{name}"


@pytest.mark.timeout(300)
def test_their_own_tests_pass_through_the_platform(examples: Platform) -> None:
    environ = {**os.environ, "DIALBACK_EXAMPLES_URL": by_path(examples)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(ROOT / "tests/examples")],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 40


@pytest.mark.parametrize("mode", ["callback", "buffered"])
def test_the_openai_package_streams_from_chat(examples: Platform, mode: str) -> None:
    ticket = ticket_for(examples, "chat", mode)
    with openai.OpenAI(base_url=f"{examples.url}/@chat/v1", api_key="-", max_retries=0) as client:
        began = time.monotonic()
        moments = [
            time.monotonic() - began
            for chunk in client.chat.completions.create(
                model="parrot-1",
                messages=[{"role": "user", "content": "hello there"}],
                stream=True,
                extra_headers={"x-dialback-run": ticket},
            )
            if chunk.choices[0].delta.content
        ]
    assert len(moments) > 20
    spread = moments[-1] - moments[0]
    if mode == "callback":
        assert spread > 0.5, "the tokens came at once"
        assert moments[0] < spread, "the first one waited for the others"
    else:
        assert spread < moments[0], "a runtime that returns whole values cannot stream by itself"
        assert moments[0] > 0.5


def ticket_for(platform: Platform, function: str, mode: str) -> str:
    answer = httpx.post(
        f"{platform.control_url}/v1/tickets",
        json={"function": function, "mode": mode},
        headers={"authorization": f"Bearer {platform.token}"},
    )
    return str(answer.json()["ticket"])


@pytest.mark.parametrize(
    ("name", "path", "words"), [("hello", "/", "Hello world"), ("clock", "/events?every=0.05", "id: 3")]
)
def test_both_forms_of_the_address_answer(examples: Platform, name: str, path: str, words: str) -> None:
    with Lines(examples.port, "127.0.0.1", f"/@{name}{path}") as lines:
        assert any(words in line for line in lines)
    with Lines(examples.port, f"{name}.localhost", path) as lines:
        assert any(words in line for line in lines)


class Lines:
    """Lines of an answer, as they come; the name in Host needs no resolver."""

    def __init__(self, port: int, host: str, path: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())

    def __enter__(self) -> Iterator[str]:
        return (line.decode() for line in self._socket.makefile("rb"))

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def test_every_example_answers_at_its_root_or_says_what_it_wants(examples: Platform) -> None:
    functions = examples.control("/v1/functions")["functions"]
    assert isinstance(functions, list)
    assert len(functions) == len(FOLDERS)
    for function in functions:
        answer = examples.get(f"/@{function['name']}/")
        assert answer.status_code < 500, function["name"]


def test_the_page_of_the_clock_works_below_its_prefix(examples: Platform) -> None:
    assert '<base href="/@clock/">' in examples.get("/@clock/").text
