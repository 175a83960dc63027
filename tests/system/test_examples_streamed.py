"""Every example, deployed and streamed: what comes, when it comes, and what happens when its client leaves."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.browser import chromium

from .platform import Platform, eventually, rss_kib
from .raw import RawClient

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
FOLDERS = sorted(path.parent for path in EXAMPLES.glob("*/README.md"))


@pytest.fixture(scope="module")
def examples() -> Iterator[Platform]:
    """A platform with every example; `transform` finds its upstream, another example, at this platform's port."""
    platform = Platform()
    try:
        platform.start()
        for folder in FOLDERS:
            if folder.name != "transform":
                platform.command("deploy", str(folder))
        upstream = f"{platform.url}/@chat/v1/chat/completions"
        platform.deploy(EXAMPLES / "transform", "transform", env={"UPSTREAM": upstream})
        yield platform
    finally:
        platform.destroy()


@dataclass(frozen=True)
class Streamed:
    """One request, and what its answer must be. `seconds`: the least time between its first and its last piece."""

    path: str
    seconds: float
    first: str
    last: str
    body: str | None = None
    status: int = 200


CHAT = json.dumps({"stream": True, "messages": [{"role": "user", "content": "hi"}]})
STREAMS = {
    "chat": Streamed("/v1/chat/completions", 0.5, 'data: {"id":', "data: [DONE]\n\n", CHAT),
    "django": Streamed("/export.csv?rows=40", 0.2, "number,square\n", "40,1600\n"),
    "download": Streamed("/?bytes=50000000", 0.0, "\x00\x01", "\x7f"),
    "fan-in": Streamed("/?speed=5", 0.2, "event: hare\n", 'event: tortoise\ndata: {"number": 5}\n\n'),
    "fastapi": Streamed("/ask", 0.2, '{"number":1,"word":"You"}\n', '"idea."}\n', '{"question": "why?"}'),
    "flask": Streamed("/?rows=5", 0.2, "<!doctype html>", "<td>25</td></tr>\n</table></html>\n"),
    "json-lines": Streamed("/?rows=20000", 0.0, '{"n":1,"square":1}\n', '"square":400000000}\n'),
    "lambda-stream": Streamed("/", 1.0, "piece 1 of 10", " s\n"),
    "progressive-html": Streamed("/?speed=4", 0.2, "<!doctype html>", "</html>\n"),
    "transform": Streamed("/", 0.5, "You ", "whole value.\n", "hi"),
}
ENDLESS = {"clock", "starlette"}
ELSEWHERE = {"hello", "lambda-plain", "upload"}
"""Their own tests run through a platform, too: see `test_examples.py`."""
BEHIND = {"background"}


def test_every_example_is_checked_here() -> None:
    named = {folder.name.replace("_", "-") for folder in FOLDERS}
    assert named == STREAMS.keys() | ENDLESS | ELSEWHERE | BEHIND


@pytest.mark.parametrize("name", STREAMS)
def test_it_streams(examples: Platform, name: str) -> None:
    want = STREAMS[name]
    moments, pieces = [], []
    method = "GET" if want.body is None else "POST"
    headers = {"content-type": "application/json"} if want.body else {}
    url = f"{examples.url}/@{name}{want.path}"
    with httpx.stream(method, url, content=want.body, headers=headers, timeout=60) as response:
        assert response.status_code == want.status
        invocation = response.headers["x-dialback-id"]
        for piece in response.iter_raw():
            moments.append(time.monotonic())
            pieces.append(piece)
    text = b"".join(pieces).decode("latin-1")
    assert text.startswith(want.first)
    assert text.endswith(want.last)
    assert moments[-1] - moments[0] >= want.seconds, f"{len(pieces)} pieces came within a moment"
    assert examples.trace(invocation)["verdict"] == "ok"


def said(platform: Platform, name: str, words: str) -> str:
    """The line of a function's log that matches, waited for."""

    def line() -> str | None:
        log = platform.command("logs", name).stdout
        return next((line for line in log.splitlines() if re.search(words, line)), None)

    return eventually(line, 30.0, f"{name} did not say {words!r}: {platform.command('logs', name).stdout[-1000:]}")


@pytest.mark.parametrize(
    ("name", "path", "words"),
    [
        ("clock", "/events?every=0.05", "the client left after"),
        ("starlette", "/events", "one left, 0 listening"),
        ("fan-in", "/?speed=5", "tortoise is closed"),
        ("json-lines", "/?rows=1000000000", "of 1000000000 rows were wanted"),
        ("lambda-stream", "/", "the client left"),
        ("flask", "/?rows=100000", "of 100000 rows were made"),
        ("django", "/export.csv?rows=100000", "of 100000 rows were exported"),
        ("download", "/", "the client left; it had been given"),
    ],
)
def test_it_stops_when_its_client_leaves(examples: Platform, name: str, path: str, words: str) -> None:
    with RawClient(examples.port) as client:
        client.get(f"/@{name}{path}")
        client.until(b"\r\n\r\n")
        client.socket.recv(1)
    said(examples, name, words)


def post(client: RawClient, path: str, body: bytes, content_type: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}"
    client.send(f"{head}\r\n\r\n".encode() + body)


def test_a_dependency_of_fastapi_is_closed_when_its_client_leaves(examples: Platform) -> None:
    with RawClient(examples.port) as client:
        post(client, "/@fastapi/ask", b'{"question": "why?", "words_per_second": 2}', "application/json")
        client.until(b'"You"')
    said(examples, "fastapi", "the model is closed after [0-6] words")


def test_a_client_that_leaves_the_transformation_stops_the_upstream(examples: Platform) -> None:
    with RawClient(examples.port) as client:
        post(client, "/@transform/", b"stop me", "text/plain")
        client.until(b"stop ")
    line = said(examples, "chat", "the client left after")
    told, most = (int(word) for word in line.split("after ")[1].replace("of ", "").split() if word.isdecimal())
    assert told < most


def test_work_goes_on_behind_the_response(examples: Platform) -> None:
    began = time.monotonic()
    answer = httpx.post(f"{examples.url}/@background/", content="tea", timeout=60)
    assert (answer.status_code, answer.json()["state"]) == (202, "accepted")
    order = answer.json()["order"]
    assert order == answer.headers["x-dialback-id"]
    said(examples, "background", "tea was ready 1[.][0-9] s after it was ordered")
    assert time.monotonic() - began > 1.0
    assert examples.get("/@background/").json()[order] == "ready"
    assert examples.trace(order)["verdict"] == "ok"


@pytest.mark.timeout(300)
def test_a_gigabyte_comes_whole_and_takes_no_memory(examples: Platform) -> None:
    get = httpx.get(f"{examples.url}/@download/?bytes=1000", timeout=60)
    assert get.status_code == 200
    worker = examples.worker_pid("download")
    watched = {"worker": worker, "invoker": examples.invoker.pid, "edge": examples.edge.pid}
    before = {name: rss_kib(pid) for name, pid in watched.items()}
    most = dict(before)
    size = 0
    with httpx.stream("GET", f"{examples.url}/@download/", timeout=60) as response:
        assert response.headers["content-length"] == "1000000000"
        for number, piece in enumerate(response.iter_raw(1 << 20)):
            size += len(piece)
            if number % 50 == 0:
                most = {name: max(most[name], rss_kib(pid)) for name, pid in watched.items()}
    assert size == 1_000_000_000
    grown = {name: (most[name] - before[name]) // 1024 for name in watched}
    assert all(mib < 48 for mib in grown.values()), f"MiB more while it ran: {grown}"


@pytest.mark.browser
async def test_a_browser_shows_the_page_part_by_part(examples: Platform) -> None:
    path = chromium.find()
    if path is None:
        pytest.skip("Chromium is missing")
    with chromium.start(path) as address:
        async with chromium.connect(address) as browser, browser.open() as page:
            await page.call("Page.navigate", url=f"{examples.url}/@progressive-html/?speed=2")
            seen = "document.readyState === 'loading' && document.querySelectorAll('section')"
            # The shell is on the screen while the document is still loading, and every part still waits.
            await page.until(f"{seen}.length === 3 && document.querySelectorAll('.waiting').length === 3")
            painted = "performance.getEntriesByType('paint').some((each) => each.name === 'first-contentful-paint')"
            await page.until(f"{painted} && document.readyState === 'loading'")
            for waiting, here in ((2, "weather"), (1, "stocks")):
                await page.until(f"document.querySelectorAll('.waiting').length === {waiting}")
                assert "took" in await page.text(f"#{here}")
                assert await page.eval("document.readyState") == "loading"
            await page.until("document.readyState === 'complete'")
            assert "took" in await page.text("#headline")
            assert [text for text in page.complaints if "favicon" not in text] == []


def test_make_run_deploys_them_all() -> None:
    """What `make run` would start; `-n` says it without starting it."""
    done = subprocess.run(["make", "-n", "run"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    named = {Path(word).name for word in done.stdout.split() if word.startswith("examples/")}
    assert named == {folder.name for folder in FOLDERS}
