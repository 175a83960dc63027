"""Classes made from BaseHTTPRequestHandler, and the reader of what they write."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler
from typing import Any

import pytest

from dialback_bridge.http_response import InvalidHttp, ResponseHead, ResponseReader
from dialback_bridge.testing import TestClient

BOUND = 30.0


class Quiet(BaseHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Any]:
    clients: list[TestClient] = []

    def make(target: Any, **options: Any) -> TestClient:
        clients.append(TestClient(target, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def test_each_write_is_sent_at_once(serve) -> None:
    go_on = threading.Event()

    class handler(Quiet):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(b"one ")
            assert go_on.wait(BOUND)
            self.wfile.write(b"two")

    with serve(handler).stream("GET", "/") as response:
        assert response.read_chunk().data == b"one "
        assert response.status == 200
        go_on.set()
        assert response.read() == b"two"
        assert response.wait_over() == "ok"


def test_the_request_is_the_one_behind_the_prefix(serve) -> None:
    class handler(Quiet):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            said = f"{self.command} {self.path} {self.headers['X-Thing']} {self.client_address[0]} {body.decode()}"
            self.send_response(201)
            self.end_headers()
            self.wfile.write(said.encode())

    response = serve(handler, prefix="/@h").post("/a%20b?q=1", headers={"x-thing": "yes"}, body="body")
    assert (response.status, response.text) == (201, "POST /a%20b?q=1 yes 127.0.0.1 body")


def test_a_body_without_a_length_ends_where_the_file_ends(serve) -> None:
    class handler(Quiet):
        def do_PUT(self) -> None:
            size = len(self.rfile.read())
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"%d" % size)

    response = serve(handler).request("PUT", "/", body=iter([b"x" * 100_000] * 3))
    assert response.text == "300000"


@pytest.mark.parametrize("buffered", [0, -1])
def test_chunks_of_an_http_1_1_handler_are_decoded(serve, buffered: int) -> None:
    class handler(Quiet):
        protocol_version = "HTTP/1.1"
        wbufsize = buffered

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("X-Kept", "yes")
            self.end_headers()
            for piece in (b"one ", b"two"):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")

    response = serve(handler).get("/")
    assert (response.text, response.verdict) == ("one two", "ok")
    assert "transfer-encoding" not in response.headers
    assert response.headers["x-kept"] == "yes"


def test_what_was_not_read_of_the_body_is_no_second_request(serve) -> None:
    class handler(Quiet):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.send_error(404, "nothing here")

    response = serve(handler).post("/", body=b"GET / HTTP/1.1\r\n\r\n" * 10)
    assert (response.status, response.verdict) == (404, "ok")


def test_a_client_that_leaves_is_a_broken_pipe(serve) -> None:
    ended = threading.Event()

    class handler(Quiet):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"more")
            except BrokenPipeError:
                ended.set()

    with serve(handler).stream("GET", "/") as response:
        assert response.read_chunk()
        response.leave()
        assert ended.wait(BOUND)
        assert response.wait_over() == "cancelled"


def test_interim_answers_go_ahead_of_the_head(serve) -> None:
    class handler(Quiet):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response_only(103)
            self.send_header("Link", "</a.css>; rel=preload")
            self.end_headers()
            self.send_response_only(100)
            self.end_headers()
            self.send_response(204)
            self.end_headers()

    response = serve(handler).get("/")
    assert response.status == 204
    assert [(status, headers["link"]) for status, headers in response.interim] == [(103, "</a.css>; rel=preload")]


def test_head_written_as_get_has_no_body(serve) -> None:
    class handler(Quiet):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"body")

        do_HEAD = do_GET

    response = serve(handler).request("HEAD", "/")
    assert (response.headers["content-length"], response.body, response.verdict) == ("4", b"", "ok")


def test_the_files_of_the_standard_librarys_handler_are_served(serve, tmp_path) -> None:
    (tmp_path / "page.html").write_text("<p>hello</p>")

    class handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    client = serve(handler)
    response = client.get("/page.html")
    assert (response.text, response.headers["content-type"]) == ("<p>hello</p>", "text/html")
    assert client.get("/missing").status == 404


def raw(text: bytes) -> Any:
    class handler(Quiet):
        def do_GET(self) -> None:
            self.connection.settimeout(1)
            self.connection.send(text)
            self.connection.shutdown(1)
            self.connection.close()

    return handler


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (b"", "returned without a response"),
        (b"hello there", "it called no send_response"),
        (b"HTTP/1.1 fine\r\n\r\n", "which is no status line"),
        (b"HTTP/1.1 200 OK\r\nno field\r\n\r\n", "which is no field"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n", "is no number"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "is not known"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "before its response was complete"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nlonger", "4 bytes behind the end"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "before its response was complete"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", "longer than it says"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "where a chunk's size is due"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 5000, "a line without an end"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000, "head is too large: 65536 bytes at most"),
    ],
)
def test_an_answer_that_is_no_http_or_breaks_its_framing_has_failed(serve, text: bytes, detail: str) -> None:
    response = serve(raw(text)).get("/")
    assert response.verdict == "error"
    assert detail in response.detail


ANSWERS = [
    (
        b"HTTP/1.1 200 OK\r\nA: 1\r\nConnection: x-hop\r\nX-Hop: y\r\n\r\nall of it",
        False,
        [ResponseHead(200, ((b"a", b"1"),)), b"all of it"],
    ),
    (
        b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.0 200\r\nContent-Length: 3\r\n\r\nabc",
        False,
        [ResponseHead(103, ()), ResponseHead(200, ((b"content-length", b"3"),)), b"abc"],
    ),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n"
        b"3;name=value\r\nabc\r\n2 \r\nde\r\n0\r\nX-Trailer: t\r\n\r\n",
        False,
        [ResponseHead(200, ()), b"abcde"],
    ),
    (
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n",
        False,
        [ResponseHead(304, ((b"content-length", b"3"),))],
    ),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", False, [ResponseHead(200, ((b"content-length", b"0"),))]),
    (b"HTTP/1.1 200 OK\r\n\r\nnot sent", True, [ResponseHead(200, ())]),
]


@pytest.mark.parametrize(("text", "is_head", "expected"), ANSWERS)
@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_an_answer_is_read_however_it_is_cut(text: bytes, is_head: bool, expected: list[Any], step: int) -> None:
    reader = ResponseReader(is_head)
    events: list[Any] = []
    for at in range(0, len(text), step):
        for event in reader.feed(text[at : at + step]):
            if isinstance(event, bytes) and events and isinstance(events[-1], bytes):
                events[-1] += event
            else:
                events.append(event)
    reader.close()
    assert events == expected


def test_a_reader_that_saw_nothing_says_so() -> None:
    with pytest.raises(InvalidHttp, match="without a response"):
        ResponseReader(False).close()


@pytest.mark.parametrize("ends", [True, False])
def test_a_head_that_is_too_large_is_a_502(serve, ends: bool) -> None:
    class handler(Quiet):
        def do_GET(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + (b"\r\n\r\n" if ends else b""))

    response = serve(handler).get("/")
    assert response.status == 502
    assert "the response's head is too large" in response.detail
    assert "65536" in response.detail
