"""WSGI applications: PEP 3333, streamed, in threads."""

import io
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest

from dialback_bridge.testing import TestClient

BOUND = 30.0
TEXT = [("Content-Type", "text/plain")]


@pytest.fixture
def serve() -> Iterator[Callable[..., TestClient]]:
    """Makes clients of applications, each of them watched by wsgiref's validator unless told otherwise."""
    clients: list[TestClient] = []

    def make(app: Any, *, validate: bool = True, **options: Any) -> TestClient:
        clients.append(TestClient(validator(app) if validate else app, kind="wsgi", **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def test_each_part_is_sent_when_it_is_made(serve) -> None:
    go_on = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        yield b"one "
        assert go_on.wait(BOUND)
        yield b"two"

    with serve(app).stream("GET", "/") as response:
        assert response.read_chunk().data == b"one "
        assert (response.status, response.headers["content-type"]) == (200, "text/plain")
        go_on.set()
        assert response.read() == b"two"
        assert response.wait_over() == "ok"


def test_the_environment_is_that_of_the_specification(serve) -> None:
    seen: dict[str, Any] = {}

    def app(environ, start_response):
        seen.update(environ)
        start_response("200 OK", TEXT)
        return [b""]

    headers = [("X-One", "a"), ("x-one", "b"), ("Cookie", "a=1; b=2"), ("X_Two", "hidden"), ("content-type", "text/x")]
    serve(app, prefix="/@hello").post("/a%20b/%C3%A9?x=1&y=%20", headers=headers, body=b"four")
    assert seen["REQUEST_METHOD"] == "POST"
    assert seen["SCRIPT_NAME"] == "/@hello"
    assert seen["PATH_INFO"].encode("latin-1").decode() == "/a b/é"
    assert seen["QUERY_STRING"] == "x=1&y=%20"
    assert seen["REQUEST_URI"] == "/@hello/a%20b/%C3%A9?x=1&y=%20"
    assert (seen["CONTENT_TYPE"], seen["CONTENT_LENGTH"]) == ("text/x", "4")
    assert (seen["HTTP_X_ONE"], seen["HTTP_COOKIE"]) == ("a, b", "a=1; b=2")
    assert "HTTP_X_TWO" not in seen
    assert (seen["SERVER_NAME"], seen["SERVER_PORT"], seen["SERVER_PROTOCOL"]) == ("testserver", "80", "HTTP/1.1")
    assert (seen["REMOTE_ADDR"], seen["wsgi.url_scheme"], seen["wsgi.multithread"]) == ("127.0.0.1", "http", True)


@pytest.mark.parametrize("size", [10, 300_000])
def test_the_body_is_read_in_any_of_the_ways_of_a_file(serve, size: int) -> None:
    body = b"".join(b"line %d\n" % number for number in range(size // 8))

    def app(environ, start_response):
        file = environ["wsgi.input"]
        parts = [file.read(3), file.readline(), *file.readlines(20), file.read(100)]
        parts += list(file)
        parts.append(file.read(10))
        start_response("200 OK", TEXT)
        return [b"".join(parts)]

    assert serve(app).post("/", body=body).body == body


def test_the_client_is_asked_for_more_only_when_the_application_reads(serve) -> None:
    given: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def upload() -> Iterator[bytes]:
        for number in range(100):
            given.append(number)
            yield b"x" * 65536

    def app(environ, start_response):
        begun.set()
        assert go_on.wait(BOUND)
        size = 0
        while data := environ["wsgi.input"].read(65536):
            size += len(data)
        start_response("200 OK", TEXT)
        return [b"%d" % size]

    with serve(app).stream("POST", "/", body=upload()) as response:
        assert begun.wait(BOUND)
        go_on.set()
        before = len(given)
        assert response.read() == b"%d" % (100 * 65536)
    assert before < 100


def test_an_upload_that_breaks_off_is_an_error_and_no_end(serve) -> None:
    caught: list[BaseException] = []

    def upload() -> Iterator[bytes]:
        yield b"x" * 70_000
        raise RuntimeError("the client's network is gone")

    def app(environ, start_response):
        try:
            environ["wsgi.input"].read(1_000_000)
        except OSError as error:
            caught.append(error)
            raise
        raise AssertionError("a cut body looked whole")

    response = serve(app).post("/", body=upload())
    assert isinstance(caught[0], (ConnectionResetError, BrokenPipeError))
    assert (response.verdict, response.status) == ("truncated", 400)


def test_close_is_called_when_the_client_leaves_early(serve) -> None:
    closed, threads = threading.Event(), set()

    class Parts:
        def __iter__(self):
            return self

        def __next__(self):
            threads.add(threading.get_ident())
            return b"more"

        def close(self):
            threads.add(threading.get_ident())
            closed.set()

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return Parts()

    with serve(app).stream("GET", "/") as response:
        assert response.read_chunk()
        response.leave()
        assert closed.wait(BOUND)
        assert response.wait_over() == "cancelled"
    assert len(threads) == 1


def test_an_empty_part_is_a_place_to_learn_that_the_client_left(serve) -> None:
    closed = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        yield b"here"
        try:
            while True:
                yield b""
        finally:
            closed.set()

    with serve(app).stream("GET", "/") as response:
        assert response.read_chunk()
        response.leave()
        assert closed.wait(BOUND)


def test_a_reader_that_stops_makes_the_application_pause(serve) -> None:
    made, closed = [0], threading.Event()

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        try:
            while True:
                made[0] += 1
                yield b"x" * 65536
        finally:
            closed.set()

    with serve(app).stream("GET", "/") as response:
        assert response.read_chunk()
        reached = -1
        while reached != made[0]:  # until it stands still, for as long as a part takes to come many times over
            reached = made[0]
            threading.Event().wait(0.2)
        assert made[0] * 65536 < 4 * 1024 * 1024
        response.leave()
        assert closed.wait(BOUND)


def test_the_write_callable_sends_at_once(serve) -> None:
    go_on = threading.Event()

    def app(environ, start_response):
        write = start_response("201 Created", TEXT)
        write(b"written ")
        assert go_on.wait(BOUND)
        write(b"again ")
        return [b"returned"]

    with serve(app).stream("GET", "/") as response:
        assert response.read_chunk().data == b"written "
        go_on.set()
        response.read()
        assert (response.status, response.body) == (201, b"written again returned")
        assert "content-length" not in response.headers


def test_a_body_of_one_part_has_its_length(serve) -> None:
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return [b"hello"] if environ["PATH_INFO"] == "/one" else [b""]

    client = serve(app, validate=False)
    assert client.get("/one").headers["content-length"] == "5"
    assert client.get("/none").headers["content-length"] == "0"


def test_cookies_stay_apart(serve) -> None:
    def app(environ, start_response):
        start_response("200 OK", [*TEXT, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return [b"x"]

    assert serve(app).get("/").headers.getlist("set-cookie") == ["a=1", "b=2"]


def test_head_has_the_head_of_get_and_the_rest_is_not_made(serve) -> None:
    made, closed = [], threading.Event()

    def app(environ, start_response):
        start_response("200 OK", [*TEXT, ("Content-Length", "6")])
        try:
            for part in (b"one", b"two"):
                made.append(part)
                yield part
        finally:
            closed.set()

    response = serve(app, validate=False).request("HEAD", "/")
    assert (response.status, response.headers["content-length"], response.body) == (200, "6", b"")
    assert (response.verdict, made, closed.is_set()) == ("ok", [b"one"], True)


def test_an_application_may_change_its_mind_before_it_sent_anything(serve) -> None:
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        try:
            raise ValueError("no")
        except ValueError:
            start_response("500 Oh", TEXT, sys.exc_info())
        return [b"failed"]

    response = serve(app).get("/")
    assert (response.status, response.body) == (500, b"failed")


def test_afterwards_its_exception_cuts_the_response_off(serve) -> None:
    def app(environ, start_response):
        write = start_response("200 OK", TEXT)
        write(b"begun")
        try:
            raise ValueError("in mid-stream")
        except ValueError:
            start_response("500 Oh", TEXT, sys.exc_info())
        return []

    response = serve(app).get("/")
    assert (response.status, response.body, response.verdict) == (200, b"begun", "error")
    assert response.detail == "ValueError: in mid-stream"


@pytest.mark.parametrize(
    ("app", "detail"),
    [
        (lambda environ, start_response: [b"x"], "did not call start_response"),
        (lambda environ, start_response: [], "did not call start_response"),
        (lambda environ, start_response: start_response("200 OK", []) and ["text"], "gives bytes, not str"),
        (lambda environ, start_response: start_response("fine", []), "invalid literal for int"),
        (lambda environ, start_response: start_response("200 OK", []) and start_response("200 OK", []), "second time"),
        (lambda environ, start_response: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_an_application_that_breaks_the_rules_has_failed(serve, app, detail: str) -> None:
    response = serve(app, validate=False).get("/")
    assert (response.status, response.verdict) == (500, "error")
    assert detail in response.detail


def test_a_failing_close_is_logged_and_the_response_stands(serve) -> None:
    class Parts(list):  # type: ignore[type-arg]
        def close(self):
            raise RuntimeError("close failed")

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return Parts([b"all"])

    client = serve(app, validate=False)
    response = client.get("/")
    assert (response.body, response.verdict) == (b"all", "ok")
    assert "RuntimeError: close failed" in client.log[-1]


def test_files_are_sent_and_closed(serve) -> None:
    file = io.BytesIO(b"z" * 200_000)

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return environ["wsgi.file_wrapper"](file, 8192)

    response = serve(app, validate=False).get("/")
    assert (len(response.body), file.closed) == (200_000, True)


def test_no_content_has_no_length(serve) -> None:
    def app(environ, start_response):
        start_response("204 No Content", [])
        return []

    response = serve(app).get("/")
    assert (response.status, response.verdict, "content-length" in response.headers) == (204, "ok", False)


def test_a_head_that_is_too_large_is_a_502(serve) -> None:
    def app(environ, start_response):
        start_response("200 OK", [*TEXT, ("X-A", "b" * 70_000)])
        yield b"body"

    response = serve(app).get("/")
    assert response.status == 502
    assert "65536 at most" in response.detail
