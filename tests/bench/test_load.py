"""The load generator measures what there is, and calls a wrong answer wrong."""

import socket
import threading
import time
from contextlib import contextmanager

import httpx
import pytest


def at(listener):
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_hello_counts_requests_and_latencies(load):
    (result,) = load("hello", {"clients": 4, "seconds": 0.3, "warm": 0.05})
    assert result["event"] == "result"
    assert result["operations"] > 50
    assert 0 < result["p50_ms"] <= result["p99_ms"]
    assert 0 < result["busy"] <= 1.1


def test_stream_sees_chunks_come_one_by_one(load):
    (result,) = load("stream", {"streams": 2, "count": 5, "gap": 0.03})
    assert result["chunks"] == 10
    assert result["separate"] >= 8
    assert 0 < result["first_byte_ms"] < 1000
    assert 0 < result["delay_ms"] < 1000


@contextmanager
def joined_chunks(*, clock, count):
    """The URL of a server whose chunks all bear one time: one of them to warm up, then `count` in one write."""
    chunk = b"64\r\n%19d\n%s\r\n" % (clock, bytes(80))
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                for many in (1, count):
                    connection.recv(65536)
                    connection.sendall(head + chunk * many + b"0\r\n\r\n")
                connection.recv(65536)

        thread = threading.Thread(target=serve)
        thread.start()
        yield at(server)
        thread.join(30)


def test_stream_sees_that_chunks_were_joined(load):
    with joined_chunks(clock=time.monotonic_ns(), count=5) as url:
        (result,) = load("stream", {"streams": 1, "count": 5, "gap": 0.1}, url=url)
    assert (result["chunks"], result["separate"], result["separate_share"]) == (5, 1, 0.2)


def test_download_checks_every_byte_count(load):
    (result,) = load("download", {"target": "/bulk?bytes=1000001&chunk=1000", "size": 1_000_001, "pieces": 1001})
    assert result["mb_per_s"] > 0
    (result,) = load("download", {"target": "/bulk?bytes=1000000", "size": 1_000_001, "pieces": 1001})
    assert result == {"event": "failed", "error": "1000001 bytes expected, 1000000 received"}


@pytest.mark.parametrize("more", ["", "&turn=1"])
def test_tiny_chunks_are_whole(load, more):
    (result,) = load("download", {"target": f"/tiny?count=500&size=64{more}", "size": 32_000, "pieces": 500})
    assert result["operations"] == 500


def test_upload_is_counted_by_the_function(load):
    (result,) = load("upload", {"size": 5_000_000})
    assert result["event"] == "result"
    assert result["mb_per_s"] > 0


def test_sse_loses_nothing_and_says_when_all_are_open(load):
    opened, result = load("sse", {"streams": 60, "count": 3, "gap": 0.2})
    assert opened == {"event": "opened"}
    assert (result["lost"], result["broken"], result["operations"]) == (0, 0, 180)


def test_sse_opens_no_more_streams_than_may_wait(load):
    options = {"streams": 120, "count": 2, "gap": 0.5, "waiting": 50}
    opened, result = load("sse", options)
    assert opened == {"event": "opened"}
    assert (result["lost"], result["broken"], result["operations"]) == (0, 0, 240)


def test_mixed_compares_requests_beside_streams_with_requests_alone(load):
    (result,) = load("mixed", {"streams": 20, "gap": 0.05, "seconds": 0.4})
    assert result["times"] == pytest.approx(result["mixed_p99_ms"] / result["idle_p99_ms"])
    assert result["events"] >= 20


def test_a_server_without_a_clock_has_no_delays(load):
    with joined_chunks(clock=0, count=2) as url:
        (result,) = load("stream", {"streams": 1, "count": 2, "gap": 0.1}, url=url)
    assert result["chunks"] == 2
    assert "delay_ms" not in result


def test_the_function_hashes_when_it_is_asked_to(uvicorn_url):
    answer = httpx.post(uvicorn_url + "/sink?hash=1", content=b"abc").json()
    assert answer["received"] == 3
    assert answer["sha256"].startswith("ba7816bf")


def test_an_unknown_path_is_a_failure(load, uvicorn_url):
    (result,) = load("hello", {"clients": 2, "seconds": 0.2, "warm": 0}, url=uvicorn_url + "/@nobody")
    assert result == {"event": "failed", "error": "the server answered 404"}


def test_nobody_there_is_a_failure(load):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        (result,) = load("hello", {"clients": 1, "seconds": 1, "warm": 0}, url=at(bound))
    assert result["event"] == "failed"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\nHello", "the server closed the connection"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", "12 bytes expected, 3 received"),
        (b"SMTP\r\n\r\n", "not HTTP"),
    ],
)
def test_a_broken_answer_is_a_failure(load, answer, error):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        (result,) = load("hello", {"clients": 1, "seconds": 1, "warm": 0}, url=at(server))
        thread.join(30)
    assert result["event"] == "failed"
    assert error in result["error"]


def test_a_server_that_says_nothing_is_a_failure(load):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = at(server)
        (result,) = load("hello", {"clients": 1, "seconds": 1, "warm": 0}, url=url, timeout=0.5)
    assert result == {"event": "failed", "error": "not over after 0.5 s"}
