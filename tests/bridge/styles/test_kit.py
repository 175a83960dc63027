"""`dialback_bridge.testing`: what a test can do to a function, and see of it."""

import asyncio
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dialback_bridge.entry import EntryError
from dialback_bridge.testing import TestClient

BOUND = 30.0


async def plain(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    for part in (b"he", b"llo"):
        await send({"type": "http.response.body", "body": part, "more_body": True})
        await asyncio.sleep(0.01)
    await send({"type": "http.response.body", "body": b""})


def test_chunks_have_their_times() -> None:
    with TestClient(plain) as client:
        response = client.get("/")
    assert [chunk.data for chunk in response.chunks] == [b"he", b"llo"]
    assert 0 <= response.chunks[0].at < response.chunks[1].at
    assert (response.status, response.text, response.complete, response.waiting) == (200, "hello", True, 0)


def test_a_cut_connection_is_told_to_the_function() -> None:
    told = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        if (await receive())["type"] == "http.request":
            assert (await receive())["type"] == "http.disconnect"
        told.set()

    with TestClient(app) as client, client.stream("GET", "/") as response:
        assert response.read_chunk()
        response.cut()
        assert told.wait(BOUND)
        assert response.wait_over() == "truncated"


def test_leaving_the_block_is_leaving_the_function() -> None:
    ended = threading.Event()

    async def fetch(request: Any) -> Any:
        try:
            yield "x"
            await asyncio.Event().wait()
        finally:
            ended.set()

    with TestClient(fetch, cancel_grace=0.01) as client, client.stream("GET", "/") as response:
        assert response.status == 200
    assert ended.is_set()


def test_a_rate_holds_the_reader_back() -> None:
    with TestClient(lambda request: iter([b"x" * 1000] * 3)) as client, client.stream("GET", "/") as response:
        assert len(response.read(rate=30_000)) == 3000


def test_a_wait_is_bounded() -> None:
    async def fetch(request: Any) -> Any:
        await asyncio.Event().wait()

    with TestClient(fetch, timeout=0.05, cancel_grace=0.01) as client:
        response = client.stream("GET", "/")
        with pytest.raises(TimeoutError, match=r"within 0\.05 s"):
            response.read_chunk()
        assert response.verdict == ""
        response.leave()


@pytest.mark.parametrize(
    ("headers", "body", "verdict", "status"),
    [
        ([(b"content-length", b"10")], b"short", "truncated", 200),
        ([(b"x-bad", b"a\r\nb")], b"x", "error", 502),
        ([(b"content-length", b"5")], b"whole", "ok", 200),
    ],
)
def test_a_response_is_judged_as_a_platform_would(headers: Any, body: bytes, verdict: str, status: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    with TestClient(app) as client:
        response = client.get("/")
        assert (response.verdict, response.status) == (verdict, status)


def test_a_failure_before_the_head_has_its_status_and_text() -> None:
    def fetch(request: Any) -> Any:
        raise ValueError("no")

    with TestClient(fetch) as client:
        response = client.get("/")
        assert (response.status, response.detail, dict(response.headers)) == (500, "ValueError: no", {})
        assert client.log[-1] == "ValueError: no"


def test_trailers_and_the_query_are_there() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["query_string"] == b"a=1&b=2&b=3"
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"x"})
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})

    with TestClient(app) as client:
        assert client.get("/?a=1", params={"b": [2, 3]}).trailers["x-sum"] == "1"


def test_start_up_and_shut_down_of_an_application_are_run() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                assert (await receive())["type"] == f"lifespan.{step}"
                seen.append(step)
                await send({"type": f"lifespan.{step}.complete"})
        else:
            await plain(scope, receive, send)

    client = TestClient(app)
    assert client.get("/").text == "hello"
    client.close()
    client.close()
    assert seen == ["startup", "shutdown"]


def test_a_lambda_handler_and_a_module_are_called() -> None:
    def handler(event: Any, context: Any) -> Any:
        return {"statusCode": 200, "body": event["rawPath"] + event["cookies"][0]}

    module = ModuleType("made")
    module.handler = handler  # type: ignore[attr-defined]
    for target in (handler, module):
        with TestClient(target) as client:
            assert client.get("/p", headers={"cookie": "a=1"}).text == "/pa=1"


def test_folders_are_imported_afresh(tmp_path: Path) -> None:
    before = list(sys.path)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.py").write_text(f"def fetch(request):\n    return {name!r}\n")
    try:
        for name in ("one", "two"):
            with TestClient(tmp_path / name) as client:
                assert client.get("/").text == name
    finally:
        sys.path[:] = before
        sys.modules.pop("app", None)


@pytest.mark.parametrize("target", [3, lambda: None, lambda a, b, c, d: None])
def test_what_is_in_no_style_is_refused(target: Any) -> None:
    with pytest.raises(EntryError):
        TestClient(target)
