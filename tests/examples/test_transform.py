"""The transformation, by the bridge's test kit, with the example `chat` or a socket that misbehaves for an upstream."""

import contextlib
import socket
import threading

import pytest

from dialback_bridge.testing import TestClient

from .conftest import EXAMPLES, serving


@contextlib.contextmanager
def upstream(*pieces, end=b""):
    """An upstream that answers with these pieces, each a chunk of its own; `end` closes the body, or does not."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer():
        with contextlib.closing(listener), listener.accept()[0] as connection:
            request = b""
            while b"parrot" not in request:
                request += connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for piece in pieces:
                connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            connection.sendall(end)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    thread.join(30)


@pytest.fixture
def transform(monkeypatch):
    clients = []

    def make(url):
        monkeypatch.setenv("UPSTREAM", url)
        clients.append(TestClient(EXAMPLES / "transform"))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def test_the_words_of_the_model_come_as_it_says_them(transform):
    with serving("chat") as url:
        response = transform(f"{url}/v1/chat/completions").post("/", body=b"hi there")
    assert response.status == 200
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text.startswith("You said: hi there\n\nI am a parrot")
    assert response.text.endswith("whole value.\n")
    assert len(response.chunks) > 20
    assert response.chunks[-1].at - response.chunks[0].at > 0.5, "the words came at once"


def event(word):
    return b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n' % word


def test_events_may_come_in_pieces_of_any_size(transform):
    said = event(b"one ") + event(b"two")
    with upstream(said[:9], said[9:20], said[20:], b"data: [DONE]\n\n", end=b"0\r\n\r\n") as url:
        assert transform(url).post("/", body=b"x").text == "one two\n"


def test_an_upstream_that_breaks_off_is_no_clean_end(transform):
    with upstream(event(b"half")) as url:
        response = transform(url).post("/", body=b"x")
    assert response.text == "half"
    assert response.verdict == "error"


def test_an_upstream_that_is_not_there_is_a_502(transform):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    response = transform(f"http://127.0.0.1:{port}/").post("/", body=b"x")
    assert (response.status, "cannot be reached" in response.text) == (502, True)


def test_what_the_upstream_refuses_is_a_502(transform):
    with serving("chat") as url:
        response = transform(f"{url}/v1/nothing").post("/", body=b"x")
    assert (response.status, response.text) == (502, "the upstream answered 404\n")
