"""A client that leaves reaches user code, and an upload that is cut short is no clean end."""

import time
from collections.abc import Callable

import httpx
import pytest

from .platform import Platform, eventually
from .raw import RawClient

pytestmark = pytest.mark.system


def seconds_since(left: float, line: str) -> float:
    return float(line.split()[-1]) - left


def test_leaving_in_mid_stream_is_a_disconnect_within_a_second(shared: Platform, tag: str) -> None:
    with RawClient(shared.port) as client:
        client.get(f"/@probe/watch?tag={tag}")
        client.until(b"here\n")
        left = time.monotonic()
    assert seconds_since(left, shared.await_note(tag, "disconnect")) < 1.0
    assert seconds_since(left, shared.await_note(tag, "finally")) < 1.0


def test_leaving_before_the_head_is_a_disconnect_within_a_second(shared: Platform, tag: str) -> None:
    with RawClient(shared.port) as client:
        client.get(f"/@probe/watch?tag={tag}&head=0")
        shared.await_note(tag, "waiting")
        left = time.monotonic()
    assert seconds_since(left, shared.await_note(tag, "disconnect")) < 1.0


def test_an_app_that_never_asks_is_cancelled_within_a_second_and_its_finally_runs(shared: Platform, tag: str) -> None:
    with RawClient(shared.port) as client:
        client.get(f"/@probe/deaf?tag={tag}")
        client.until(b"here\n")
        left = time.monotonic()
    assert seconds_since(left, shared.await_note(tag, "finally")) < 1.0
    assert "cancelled" in shared.notes(tag)


def test_a_reset_reaches_user_code_like_a_close(shared: Platform, tag: str) -> None:
    import socket
    import struct

    client = RawClient(shared.port)
    client.get(f"/@probe/watch?tag={tag}")
    client.until(b"here\n")
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    left = time.monotonic()
    client.socket.close()
    assert seconds_since(left, shared.await_note(tag, "disconnect")) < 1.0


def test_the_trace_says_that_the_client_left(shared: Platform, tag: str) -> None:
    with RawClient(shared.port) as client:
        client.get(f"/@probe/watch?tag={tag}")
        head = client.until(b"here\n").lower()
        invocation = head.partition(b"x-dialback-id: ")[2].split(b"\r\n")[0].decode()
    shared.await_note(tag, "disconnect")
    trace = shared.trace(invocation)
    assert (trace["verdict"], trace["cause"], trace["code"]) == ("cancelled", "client", "CD")


@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_an_upload_cut_short_is_a_disconnect_and_not_a_clean_end(shared: Platform, tag: str, framing: str) -> None:
    piece = b"x" * 70_000
    body = piece if framing.startswith("Content") else b"%x\r\n%s\r\n" % (len(piece), piece)
    with RawClient(shared.port) as client:
        client.send(f"POST /@probe/upload?tag={tag} HTTP/1.1\r\nHost: 127.0.0.1\r\n{framing}\r\n\r\n".encode() + body)
        shared.await_note(tag, "called")
    assert shared.await_note(tag, "disconnect").startswith("disconnect after")
    assert not any(note.startswith("complete") for note in shared.notes(tag))


def test_an_upload_streams_whole_to_the_function(shared: Platform, tag: str) -> None:
    import hashlib

    body = bytes(range(256)) * 20_000
    by_length = httpx.post(f"{shared.url}/@probe/upload?tag={tag}", content=body, timeout=60)
    pieces = (body[at : at + 100_000] for at in range(0, len(body), 100_000))
    chunked = httpx.post(f"{shared.url}/@probe/upload?tag={tag}", content=pieces, timeout=60)
    expected = f"{len(body)} {hashlib.sha256(body).hexdigest()}\n"
    assert (by_length.text, chunked.text) == (expected, expected)


def test_expect_100_continue_is_answered_when_the_function_reads(shared: Platform, tag: str) -> None:
    body = b"y" * 200_000
    with RawClient(shared.port) as client:
        client.send(
            f"POST /@probe/upload?tag={tag} HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        )
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 Continue\r\n")
        client.send(body)
        assert b"HTTP/1.1 200 " in client.rest()


def test_with_finish_the_function_goes_on_when_the_client_left(
    shared: Platform, deploy: Callable[..., str], tag: str
) -> None:
    name = deploy(on_disconnect="finish")
    with RawClient(shared.port) as client:
        client.get(f"/@{name}/bulk?mb=8&tag={tag}")
        client.until(b"\r\n\r\n")
    eventually(lambda: shared.progress(tag) == 128, 30.0, f"stopped at {shared.progress(tag)} of 128 blocks")
