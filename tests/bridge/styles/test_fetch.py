"""`fetch(request)`, and functions named after methods."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from dialback_bridge import ClientGone, Headers, Response
from dialback_bridge.testing import TestClient

BOUND = 30.0


@pytest.fixture
def serve() -> Iterator[Any]:
    clients: list[TestClient] = []

    def make(target: Any, **options: Any) -> TestClient:
        clients.append(TestClient(target, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def describe(request: Any, body: Any) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": request.url,
        "path": request.path,
        "root_path": request.root_path,
        "query": request.query,
        "list": request.query_list,
        "cookies": request.cookies,
        "header": request.headers["X-Thing"],
        "client": request.client,
        "body": body,
    }


async def fetch_async(request: Any) -> Any:
    return describe(request, await request.json())


def fetch_sync(request: Any) -> Any:
    return describe(request, request.json())


async def fetch_in_a_loop_of_its_own(request: Any) -> Any:
    return describe(request, await request.json())


def fetch_elsewhere(request: Any) -> Any:
    return asyncio.run(fetch_in_a_loop_of_its_own(request))


@pytest.mark.parametrize("function", [fetch_async, fetch_sync, fetch_elsewhere])
@pytest.mark.parametrize("size", [1, 100_000])
def test_a_request_is_the_same_in_synchronous_and_asynchronous_code(serve, function, size: int) -> None:
    headers = {"X-Thing": "a", "cookie": 'a=1; b="2"; a=3; odd'}
    client = serve(function, prefix="/@f")
    response = client.post("/p%20q?x=1&x=2&y=", headers=headers, json="z" * size)
    assert response.json() == {
        "method": "POST",
        "url": "http://testserver/@f/p%20q?x=1&x=2&y=",
        "path": "/p q",
        "root_path": "/@f",
        "query": {"x": "2", "y": ""},
        "list": {"x": ["1", "2"], "y": [""]},
        "cookies": {"a": "1", "b": "2"},
        "header": "a",
        "client": "127.0.0.1",
        "body": "z" * size,
    }
    assert repr(response).startswith("<StreamedResponse ok")


@pytest.mark.parametrize(
    ("value", "status", "content_type", "body"),
    [
        (Response("é"), 200, "text/plain; charset=utf-8", "é".encode()),
        (Response(b"\x00"), 200, "application/octet-stream", b"\x00"),
        (Response({"a": "é"}, 201), 201, "application/json", '{"a":"é"}'.encode()),
        (Response([1, 2]), 200, "application/json", b"[1,2]"),
        (Response.json(None), 200, "application/json", b"null"),
        (Response.html("<p>"), 200, "text/html; charset=utf-8", b"<p>"),
        (Response("x", headers={"Content-Type": "text/css"}), 200, "text/css", b"x"),
        ("bare", 200, "text/plain; charset=utf-8", b"bare"),
        ({"bare": 1}, 200, "application/json", b'{"bare":1}'),
        (None, 204, None, b""),
        (Response.redirect("/there"), 302, None, b""),
        (iter(["a", "b"]), 200, "text/plain; charset=utf-8", b"ab"),
        (iter([None, {"a": 1}, 2]), 200, "application/x-ndjson", b'{"a":1}\n2\n'),
        (iter([]), 200, None, b""),
    ],
)
def test_what_is_returned_becomes_a_response(serve, value: Any, status: int, content_type: Any, body: bytes) -> None:
    response = serve(lambda request: value).get("/")
    assert (response.status, response.headers.get("content-type"), response.body) == (status, content_type, body)
    assert response.verdict == "ok"


@pytest.mark.parametrize("value", [3, ("text", 404), Response({"a": {1}})])
def test_what_cannot_be_a_response_is_a_failure_that_says_why(serve, value: Any) -> None:
    response = serve(lambda request: value).get("/")
    assert (response.status, response.verdict) == (500, "error")
    assert "TypeError" in response.detail


def test_what_cannot_be_sent_in_mid_stream_cuts_the_response_off(serve) -> None:
    response = serve(lambda request: iter(["a", {1}])).get("/")
    assert (response.body, response.verdict) == (b"a", "error")
    assert "cannot be written as JSON" in response.detail


def test_a_known_content_type_lets_the_head_go_ahead_of_the_items(serve) -> None:
    go_on = threading.Event()

    def body() -> Iterator[str]:
        assert go_on.wait(BOUND)
        yield "late"

    with serve(lambda request: Response(body(), headers={"content-type": "text/x"})).stream("GET", "/") as response:
        assert response.status == 200
        go_on.set()
        assert response.read() == b"late"


def test_a_function_may_be_a_generator(serve) -> None:
    def fetch(request: Any) -> Iterator[str]:
        yield "one "
        yield request.method

    async def fetch_async(request: Any) -> Any:
        yield b"two "
        yield request.method

    assert serve(fetch).get("/").text == "one GET"
    assert serve(fetch_async).get("/").text == "two GET"


def test_asynchronous_code_may_return_a_synchronous_body_and_the_other_way_round(serve) -> None:
    async def items() -> Any:
        yield "asynchronous"

    async def fetch_async(request: Any) -> Any:
        return Response(part for part in ("synchro", "nous"))

    def fetch(request: Any) -> Any:
        return Response(items())

    def fetch_awaitable(request: Any) -> Any:
        return fetch_async(request)

    assert serve(fetch_async).get("/").text == "synchronous"
    assert serve(fetch).get("/").text == "asynchronous"
    assert serve(fetch_awaitable).get("/").text == "synchronous"


def test_a_client_that_leaves_closes_an_asynchronous_body(serve) -> None:
    ended = threading.Event()

    async def body() -> Any:
        try:
            while True:
                yield "more"
        finally:
            ended.set()

    with serve(lambda request: Response(body())).stream("GET", "/") as response:
        assert response.read_chunk()
        response.leave()
        assert ended.wait(BOUND)
        assert response.wait_over() == "cancelled"


def test_a_body_that_waits_is_cancelled_when_its_client_leaves(serve) -> None:
    cancelled = threading.Event()

    async def body() -> Any:
        yield "here"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with serve(lambda request: body(), cancel_grace=0.01).stream("GET", "/") as response:
        assert response.read_chunk()
        response.leave()
        assert cancelled.wait(BOUND)


def test_a_synchronous_body_is_advanced_and_closed_in_one_thread(serve) -> None:
    threads, ended = [], threading.Event()

    def fetch(request: Any) -> Iterator[str]:
        try:
            while True:
                threads.append(threading.get_ident())
                yield "more"
        finally:
            threads.append(threading.get_ident())
            ended.set()

    with serve(fetch).stream("GET", "/") as response:
        assert response.read_chunk()
        response.leave()
        assert ended.wait(BOUND)
    assert len(set(threads)) == 1


@pytest.mark.parametrize("is_async", [True, False])
def test_the_body_of_a_request_is_read_as_it_comes(serve, is_async: bool) -> None:
    first, go_on = threading.Event(), threading.Event()

    def upload() -> Iterator[bytes]:
        yield b"one"
        assert go_on.wait(BOUND)
        yield b"two"

    def fetch(request: Any) -> Iterator[bytes]:
        for part in request.stream():
            first.set()
            yield part + b";"

    async def fetch_async(request: Any) -> Any:
        async for part in request.stream():
            first.set()
            yield part + b";"

    with serve(fetch_async if is_async else fetch).stream("POST", "/", body=upload()) as response:
        assert response.read_chunk().data == b"one;"
        assert first.is_set()
        go_on.set()
        assert response.read() == b"two;"


def test_an_upload_that_breaks_off_raises(serve) -> None:
    caught = []

    def upload() -> Iterator[bytes]:
        yield b"x"
        raise RuntimeError

    async def fetch(request: Any) -> Any:
        try:
            await request.body()
        except ClientGone as error:
            caught.append(str(error))
            raise

    assert serve(fetch).post("/", body=upload()).verdict == "truncated"
    assert "cut short" in caught[0]


def test_a_body_is_text_by_its_charset_and_read_once(serve) -> None:
    async def fetch(request: Any) -> Any:
        text = await request.text()
        assert await request.body() == await request.body()
        with pytest.raises(RuntimeError, match="already read"):
            request.stream()
        return text

    client = serve(fetch)
    latin = client.post("/", headers={"content-type": 'text/plain; charset="latin-1"'}, body="é".encode("latin-1"))
    assert latin.text == "é"
    assert client.post("/", headers={"content-type": "text/plain; charset=nonsense"}, body="é").text == "é"


def test_a_body_beyond_what_is_collected_is_413(serve, monkeypatch) -> None:
    monkeypatch.setattr("dialback_bridge.request.MAX_WHOLE", 100_000)

    async def fetch(request: Any) -> Any:
        return await request.text()

    response = serve(fetch).post("/", body=b"x" * 200_000)
    assert (response.status, response.verdict) == (413, "error")


def test_other_methods_are_refused_with_what_is_allowed(serve) -> None:
    client = serve({"GET": lambda request: "got", "POST": lambda: "posted"})
    assert client.get("/").text == "got"
    assert client.post("/").text == "posted"
    refused = client.request("DELETE", "/")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, POST, HEAD")


def test_head_is_answered_by_get_without_its_body(serve) -> None:
    begun = []

    def items() -> Iterator[str]:
        begun.append(True)
        yield "x"

    client = serve({"GET": lambda request: "four" if request.query else Response(items(), 200, {"x-a": "b"})})
    whole = client.request("HEAD", "/?a=1")
    assert (whole.status, whole.headers["content-length"], whole.body) == (200, "4", b"")
    streamed = client.request("HEAD", "/")
    assert (streamed.headers["x-a"], streamed.body, streamed.verdict, begun) == ("b", b"", "ok", [])


def test_head_closes_an_asynchronous_body_that_nobody_wants(serve) -> None:
    async def items() -> Any:
        yield "x"

    response = serve({"GET": lambda request: Response(items())}).request("HEAD", "/")
    assert (response.status, response.verdict) == (200, "ok")
    own = serve({"GET": lambda request: "x", "HEAD": lambda request: Response(headers={"x-own": "1"})})
    assert own.request("HEAD", "/").headers["x-own"] == "1"


def test_headers_keep_several_values_and_any_case() -> None:
    headers = Headers([("Set-Cookie", "a=1"), ("set-cookie", "b=2"), ("X", "y")])
    assert (headers["SET-COOKIE"], headers.getlist("set-cookie")) == ("a=1, b=2", ["a=1", "b=2"])
    assert (len(headers), list(headers), "x" in headers, 3 in headers) == (2, ["set-cookie", "x"], True, False)
    headers["set-cookie"] = "c=3"
    del headers["x"]
    assert Headers(headers).pairs() == [("set-cookie", "c=3")]
    assert headers.fields() == [(b"set-cookie", b"c=3")]
    assert repr(headers) == "Headers([('set-cookie', 'c=3')])"
    with pytest.raises(KeyError):
        headers["x"]
    with pytest.raises(KeyError):
        del headers["x"]
    with pytest.raises(TypeError, match="are str, not int"):
        headers["n"] = 3  # type: ignore[assignment]
    assert Headers({"x": "日"}).fields() == [(b"x", "日".encode())]


def test_a_response_says_what_it_is() -> None:
    assert repr(Response(status=404)) == "<Response 404>"
    with pytest.raises(TypeError, match="cannot be of type int"):
        Response(3)
