"""Cold starts are measured from zero workers, and only from there."""

import http.server
import threading

import pytest
from bench.cold import ColdFailed, cold_starts, wait_for_zero_workers

from bench import cold


class Platform:
    """Says that there are workers for a while, then none; answers over HTTP."""

    def __init__(self, url, workers=()):
        self.url = url
        self.left = list(workers)

    def workers(self):
        return self.left.pop() if self.left else []

    def below_the_invoker(self):
        return []


@pytest.fixture
def server():
    class Handler(http.server.BaseHTTPRequestHandler):
        body = b"Hello world\n"

        def do_GET(self):
            self.send_response(200)
            self.send_header("content-length", str(len(self.body)))
            self.end_headers()
            self.wfile.write(self.body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server_:
        thread = threading.Thread(target=server_.serve_forever)
        thread.start()
        yield server_
        server_.shutdown()
        thread.join()


def at(server):
    return f"http://127.0.0.1:{server.server_port}"


def test_a_cold_start_is_told_over_the_warm_requests(server, monkeypatch):
    monkeypatch.setattr(cold, "SETTLE", 0)
    platform = Platform(at(server), workers=[[1], [1]])
    figures = cold_starts(platform, starts=2, warm=3)
    assert platform.left == []
    assert figures["operations"] == 8
    assert figures["cold_ms"] > 0
    assert figures["over_ms"] <= figures["cold_ms"]
    assert figures["held_mib"] == 0


def test_workers_that_stay_are_a_failure(server):
    class Busy(Platform):
        def workers(self):
            return [1]

    with pytest.raises(ColdFailed, match=r"workers after 0\.1 s"):
        wait_for_zero_workers(Busy(at(server)), seconds=0.1)


def test_a_wrong_answer_is_a_failure(server, monkeypatch):
    monkeypatch.setattr(cold, "SETTLE", 0)
    server.RequestHandlerClass.body = b"Bye"
    with pytest.raises(ColdFailed, match="answered 200: b'Bye'"):
        cold_starts(Platform(at(server)), starts=1, warm=1)
