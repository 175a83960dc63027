"""The health check of the images: a service that is well, one that is not, none at all."""

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

HEALTH = Path(__file__).resolve().parents[2] / "deploy/health.py"


class Service(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        status = self.status if self.path == "/_dialback/health" else 404
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b'{"status": "said"}\n')

    def log_message(self, *_: object) -> None:
        """Tests need no log."""


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def check(port: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(HEALTH), "127.0.0.1", str(port)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_service_that_answers_200_is_well(port: int) -> None:
    done = check(port)
    assert (done.returncode, done.stdout) == (0, '{"status": "said"}\n')


def test_another_answer_is_not(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Service, "status", 503)
    done = check(port)
    assert (done.returncode, done.stdout) == (1, '{"status": "said"}\n')


def test_no_answer_is_not_either(unused_tcp_port: int) -> None:
    done = check(unused_tcp_port)
    assert done.returncode == 1
    assert "Connection refused" in done.stdout
