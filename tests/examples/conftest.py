"""Where the examples answer: each ASGI one under its own uvicorn, each Lambda one by a call of its handler.

DIALBACK_EXAMPLES_URL, for example `http://127.0.0.1:8080/@{name}`, points the same tests at a platform on which all of
them are deployed.
"""

import os
import re
import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl

import httpx
import pytest
import tomllib

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PLATFORM = os.environ.get("DIALBACK_EXAMPLES_URL", "")


@contextmanager
def serving(folder: str) -> Iterator[str]:
    """The base URL, without a slash at its end, of the ASGI example in that folder."""
    if PLATFORM:
        yield _on_platform(folder)
        return
    command = [sys.executable, "-m", "uvicorn", entry_of(folder), "--app-dir", str(EXAMPLES / folder), "--port", "0"]
    command += ["--no-access-log", "--timeout-graceful-shutdown", "1"]
    clean = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=clean)
    assert process.stderr is not None
    try:
        said = ""
        for line in process.stderr:
            said += line
            if found := re.search(r"running on (http://[\d.]+:\d+)", line):
                yield found[1]
                break
        else:
            raise AssertionError(f"uvicorn did not start:\n{said}")
    finally:
        process.terminate()
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def entry_of(folder: str) -> str:
    """What serves in that folder, as its dialback.toml says it."""
    config = EXAMPLES / folder / "dialback.toml"
    return str((tomllib.loads(config.read_text()) if config.exists() else {}).get("entry", "app:app"))


@pytest.fixture(scope="session")
def url_of() -> Iterator[Callable[[str], str]]:
    """Start an ASGI example, once a session: its folder's name to its base URL."""
    urls: dict[str, str] = {}
    with ExitStack() as stack:

        def url(folder: str) -> str:
            if folder not in urls:
                urls[folder] = stack.enter_context(serving(folder))
            return urls[folder]

        yield url


@pytest.fixture(scope="module")
def base_url(request: pytest.FixtureRequest, url_of: Callable[[str], str]) -> str:
    """The base URL of the example whose folder the test module names in EXAMPLE."""
    return url_of(request.module.EXAMPLE)


@dataclass
class Answer:
    """What a Lambda example answered. `arrivals`: the seconds, since the call, at which a piece of the body came."""

    status: int
    headers: dict[str, str]
    cookies: list[str]
    pieces: list[bytes] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


class Invoke(Protocol):
    def __call__(self, target: str = "/", cookies: list[str] | None = None) -> Answer: ...


@pytest.fixture(scope="module")
def invoke(request: pytest.FixtureRequest) -> Invoke:
    """Ask the Lambda example whose folder the test module names in EXAMPLE, by a GET of `target`."""
    folder = request.module.EXAMPLE
    if PLATFORM:
        return lambda target="/", cookies=None: _over_http(_on_platform(folder) + target, cookies or [])
    handler = runpy.run_path(str(EXAMPLES / folder / "function.py"))["handler"]
    return lambda target="/", cookies=None: _by_call(handler, target, cookies or [])


def _on_platform(folder: str) -> str:
    return PLATFORM.format(name=folder.replace("_", "-"))


def _over_http(url: str, cookies: list[str]) -> Answer:
    start = time.monotonic()
    with httpx.stream("GET", url, headers={"cookie": "; ".join(cookies)} if cookies else {}) as response:
        answer = Answer(response.status_code, dict(response.headers), response.headers.get_list("set-cookie"))
        for piece in response.iter_raw():
            answer.pieces.append(piece)
            answer.arrivals.append(time.monotonic() - start)
    return answer


def _by_call(handler: Callable[..., Any], target: str, cookies: list[str]) -> Answer:
    """What a Function URL makes of the handler's answer, for the parts that the examples use."""
    start = time.monotonic()
    value = handler(_event(target, cookies), Context())
    if isinstance(value, dict):
        headers, pieces = value["headers"], iter([value["body"]])
    else:
        pieces = iter(value)
        value = next(pieces)
        headers = value["headers"]
    answer = Answer(value["statusCode"], headers, value.get("cookies", []))
    for piece in pieces:
        answer.pieces.append(piece.encode() if isinstance(piece, str) else piece)
        answer.arrivals.append(time.monotonic() - start)
    return answer


def _event(target: str, cookies: list[str]) -> dict[str, Any]:
    path, _, query = target.partition("?")
    http = {"method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "test"}
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": "example.localhost"},
        "requestContext": {"http": http, "requestId": "r1", "stage": "$default"},
        "isBase64Encoded": False,
    }
    if query:
        event["queryStringParameters"] = dict(parse_qsl(query))
    if cookies:
        event["cookies"] = cookies
    return event


class Context:
    """The part of Lambda's context object that the examples use."""

    aws_request_id = "00000000-0000-0000-0000-000000000001"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000
