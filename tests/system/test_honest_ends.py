"""What a client sees when an invocation does not end well: never something that looks complete."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from .platform import Platform, eventually
from .raw import RawClient

pytestmark = pytest.mark.system


def curl(url: str, *flags: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["curl", "-sSN", *flags, url], capture_output=True, timeout=120, check=False)


def test_a_worker_killed_before_the_head_is_a_502_within_a_second(shared: Platform, tag: str) -> None:
    pid = shared.worker_pid()
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(shared.get, f"/@probe/wait?tag={tag}")
        shared.await_note(tag, "called")
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        response = answer.result(10)
    assert response.status_code == 502
    assert time.monotonic() - killed < 1.0
    assert response.json()["error"]["code"] == "worker_died"
    assert shared.notes(tag) == ["called"]


def test_a_worker_killed_after_the_head_is_a_truncation_that_curl_and_httpx_report(shared: Platform, tag: str) -> None:
    with ThreadPoolExecutor() as pool:
        url = f"{shared.url}/@probe/stream?tag={tag}&n=3&then=hang"
        by_curl = pool.submit(curl, url)
        with httpx.stream("GET", url, timeout=60) as response:
            lines = response.iter_lines()
            assert [next(lines) for _ in range(3)] == ["line 0", "line 1", "line 2"]
            eventually(lambda: len(shared.notes(tag)) == 2, 30.0, "curl's request did not arrive")
            os.kill(shared.worker_pid(), signal.SIGKILL)
            with pytest.raises(httpx.RemoteProtocolError):
                list(lines)
        done = by_curl.result(10)
    assert done.returncode == 18
    assert done.stdout.startswith(b"line 0\n")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("size=70000", "70003 bytes of header fields; 65536 at most"),
        ("size=1000&fields=300", "300 header fields; 128 at most"),
    ],
)
def test_a_head_that_is_too_large_is_a_502_that_names_the_limit(
    shared: Platform, tag: str, query: str, words: str
) -> None:
    response = shared.get(f"/@probe/bad-head?tag={tag}&{query}")
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (502, "bad_head")
    assert words in error["message"]
    assert shared.trace(response.headers["x-dialback-id"])["code"] == "FH"


def test_a_handler_that_raises_before_the_head_is_a_500_without_a_traceback(shared: Platform, tag: str) -> None:
    response = shared.get(f"/@probe/fails?tag={tag}")
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "handler_error"
    assert "Traceback" not in response.text
    assert shared.trace(response.headers["x-dialback-id"])["code"] == "FH"


def test_a_handler_that_raises_after_the_head_truncates(shared: Platform, tag: str) -> None:
    done = curl(f"{shared.url}/@probe/stream?tag={tag}&n=3&then=raise")
    assert done.returncode == 18
    assert done.stdout == b"line 0\nline 1\nline 2\n"


def test_after_a_failed_handler_its_worker_serves_on(shared: Platform, tag: str) -> None:
    before = shared.get("/@probe/pid").text
    assert shared.get(f"/@probe/fails?tag={tag}").status_code == 500
    assert shared.get("/@probe/pid").text == before


def test_a_short_body_is_cut_and_the_next_response_is_never_inside_it(shared: Platform, tag: str) -> None:
    with RawClient(shared.port) as client:
        client.get(f"/@probe/short?tag={tag}")
        client.get("/@probe/hello")
        received = client.rest()
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"content-length: 1000" in head.lower()
    assert body == b"ten bytes."


def test_a_long_body_is_exactly_its_content_length_and_then_the_connection_closes(shared: Platform, tag: str) -> None:
    with RawClient(shared.port) as client:
        client.get(f"/@probe/long?tag={tag}")
        client.get("/@probe/hello")
        received = client.rest()
    assert received.partition(b"\r\n\r\n")[2] == b"xxxxx"


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("status=99", "a status outside 200-599"),
        ("name=x%0d%0aset-cookie:a&value=b", "CR and LF in a name"),
        ("name=x-a&value=b%0d%0ax-injected:%20yes", "CR and LF in a value"),
        ("name=content-length&value=%2B5", "a Content-Length that is no number"),
    ],
)
def test_a_head_that_must_not_reach_a_client_is_a_502(shared: Platform, tag: str, query: str, reason: str) -> None:
    with RawClient(shared.port) as client:
        client.get(f"/@probe/bad-head?tag={tag}&{query}", "Connection: close")
        received = client.rest()
    assert received.startswith(b"HTTP/1.1 502 "), reason
    assert b"injected" not in received


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body_keep_their_status_and_the_connection(shared: Platform, tag: str, status: int) -> None:
    with RawClient(shared.port) as client:
        client.get(f"/@probe/no-content?tag={tag}&status={status}")
        client.get("/@probe/hello", "Connection: close")
        received = client.rest()
    assert received.startswith(f"HTTP/1.1 {status} ".encode())
    first, _, second = received.partition(b"\r\n\r\n")
    assert b"x-kept: yes" in first
    assert second.startswith(b"HTTP/1.1 200 ")
    assert second.endswith(b"Hello world\n")


def test_a_head_request_has_no_body_and_the_next_response_is_intact(shared: Platform, tag: str) -> None:
    with RawClient(shared.port) as client:
        client.send(b"HEAD /@probe/hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        client.get("/@probe/hello", "Connection: close")
        received = client.rest()
    first, _, second = received.partition(b"\r\n\r\n")
    assert b"content-length: 12" in first
    assert second.startswith(b"HTTP/1.1 200 ")
    assert second.endswith(b"\r\n\r\nHello world\n")


@pytest.mark.parametrize("answers", ["own mode", "buffered"])
def test_a_function_may_keep_the_text_of_its_exceptions_inside(
    shared: Platform, deploy: Callable[..., str], tag: str, answers: str
) -> None:
    name = deploy(errors="plain", **({"mode": "buffered"} if answers == "buffered" else {}))
    response = shared.get(f"/@{name}/fails?tag={tag}")
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["message"]) == (500, "handler_error", "The function failed.")
    assert "RuntimeError" in str(shared.trace(response.headers["x-dialback-id"])["detail"])


def test_a_failed_start_is_told_once_and_whole_in_the_functions_own_log(
    make: Callable[..., Platform], tag: str, tmp_path: Path
) -> None:
    platform = make()
    source = tmp_path / "source"
    source.mkdir()
    broken = "import os\n\ndef fail():\n    raise ValueError('at start')\n\n"
    # Deployments are inspected without Lambda's names.
    (source / "app.py").write_text(
        broken + "'AWS_LAMBDA_FUNCTION_NAME' in os.environ and fail()\nasync def app(s, r, e): ...\n"
    )
    platform.deploy(source, "broken")
    assert platform.get("/@broken/").status_code == 502
    records = [json.loads(line) for line in platform.command("logs", "broken", "--json").stdout.splitlines()]
    told = [record["line"] for record in records]
    assert {record["level"] for record in records} == {"ERROR"}
    first = told.index("Traceback (most recent call last):")
    assert told[first + 1].strip().startswith("File ")
    assert "app.py" in told[first + 1]
    assert not any("dialback_bridge" in line or "importlib" in line for line in told)
    assert all(line.strip() for line in told)
    assert "Traceback" not in platform.invoker.log.read_text()
    assert "broken failed to start: " in platform.invoker.log.read_text()


def test_an_unknown_function_is_a_404_with_an_id(shared: Platform) -> None:
    response = shared.get("/@nobody/")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "function_not_found"
    identity = response.headers["x-dialback-id"]
    assert len(identity) == 26
    assert shared.trace(identity)["code"] == "LR"
    assert "no such function" in shared.command("trace", identity).stdout


def test_a_function_answers_at_its_host_name_too(shared: Platform) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), timeout=60) as client:
        host = f"probe.localhost:{shared.port}"
        client.sendall(f"GET /hello HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        received = b"".join(iter(lambda: client.recv(65536), b""))
    assert received.endswith(b"Hello world\n")
