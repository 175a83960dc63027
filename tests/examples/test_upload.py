import hashlib
import json
import socket

import httpx
import pytest

EXAMPLE = "upload"


class RawUpload:
    """A chunked upload over a plain socket, to send and to read in turn."""

    def __init__(self, base_url, query):
        url = httpx.URL(base_url)
        self.socket = socket.create_connection((url.host, url.port), timeout=60)
        self.reader = self.socket.makefile("rb")
        path = url.path.rstrip("/") + "/" + query
        self.socket.sendall(f"POST {path} HTTP/1.1\r\nhost: {url.host}\r\ntransfer-encoding: chunked\r\n\r\n".encode())

    def send(self, data):
        self.socket.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def finish(self):
        self.socket.sendall(b"0\r\n\r\n")

    def head(self):
        lines = []
        while (line := self.reader.readline()) not in (b"\r\n", b""):
            lines.append(line.decode().strip().lower())
        return lines

    def line(self):
        """The next progress line; each is one chunk of the answer or shares one."""
        while not (line := self.reader.readline()).startswith(b"{"):
            assert line, "the connection ended"
        return json.loads(line)

    def close(self):
        self.reader.close()
        self.socket.close()


@pytest.fixture
def upload(base_url):
    opened = []

    def start(query=""):
        opened.append(RawUpload(base_url, query))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def test_the_hash_is_that_of_the_bytes(base_url):
    data = bytes(range(256)) * 20_000
    lines = [json.loads(line) for line in httpx.post(base_url + "/", content=data).text.splitlines()]
    assert lines[-1] == {"received": len(data), "sha256": hashlib.sha256(data).hexdigest(), "done": True}
    received = [line["received"] for line in lines]
    assert received == sorted(received)
    assert all(hashlib.sha256(data[: line["received"]]).hexdigest() == line["sha256"] for line in lines)


def test_progress_is_answered_while_the_upload_goes_on(upload):
    one = upload("?step=4")
    digest = hashlib.sha256()
    for number in range(1, 6):
        piece = b"piece%d" % number
        digest.update(piece)
        one.send(piece)
        if number == 1:
            head = one.head()
            assert head[0] == "http/1.1 200 ok"
            assert "content-type: application/x-ndjson" in head
        assert one.line() == {"received": 6 * number, "sha256": digest.hexdigest()}
    one.finish()
    assert one.line() == {"received": 30, "sha256": digest.hexdigest(), "done": True}


def test_an_empty_upload_has_the_hash_of_nothing(base_url):
    response = httpx.put(base_url + "/", content=b"")
    assert response.json() == {"received": 0, "sha256": hashlib.sha256().hexdigest(), "done": True}


def test_an_upload_that_is_cut_short_is_never_done(upload):
    one = upload("?step=1")
    one.send(b"abc")
    one.head()
    assert one.line()["received"] == 3
    one.socket.shutdown(socket.SHUT_WR)
    try:
        rest = one.reader.read()
    except ConnectionResetError:
        rest = b""  # a server may also say it this way
    assert b"done" not in rest


def test_a_get_says_how_to_upload(base_url):
    response = httpx.get(base_url + "/")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST, PUT"


@pytest.mark.parametrize("step", ["0", "-1", "x", "1.5"])
def test_a_nonsense_step_is_refused(base_url, step):
    assert httpx.post(f"{base_url}/?step={step}", content=b"x").status_code == 400
