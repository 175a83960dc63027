"""Ten streams on one socket: what happens to one is its own."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from .platform import Platform
from .raw import RawClient

pytestmark = pytest.mark.system

BLOCK = bytes(range(256)) * 256
EIGHT_MB = hashlib.sha256(BLOCK * 128).hexdigest()


def bulk(url: str, tag: str) -> str:
    digest = hashlib.sha256()
    with httpx.stream("GET", f"{url}/bulk?mb=8&tag={tag}", timeout=60) as response:
        for piece in response.iter_raw():
            digest.update(piece)
    return digest.hexdigest()


def nine_beside(platform: Platform, tag: str, misfit: Callable[[], None], name: str = "probe") -> list[str]:
    """The hashes of nine streams, while `misfit` does its worst as the tenth."""
    with ThreadPoolExecutor(10) as pool:
        tenth = pool.submit(misfit)
        nine = [pool.submit(bulk, f"{platform.url}/@{name}", f"{tag}{number}") for number in range(9)]
        hashes = [one.result(60) for one in nine]
        tenth.result(60)
    return hashes


def test_nine_finish_byte_exact_while_one_raises_in_mid_stream(shared: Platform, tag: str) -> None:
    def raises() -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            shared.get(f"/@probe/stream?tag={tag}&n=5&then=raise")

    assert nine_beside(shared, tag, raises) == [EIGHT_MB] * 9


def test_nine_finish_byte_exact_while_one_reads_nothing(shared: Platform, tag: str) -> None:
    with RawClient(shared.port, receive_buffer=4096) as stalled:
        stalled.get(f"/@probe/bulk?mb=64&tag={tag}")
        stalled.until(b"\r\n\r\n")
        assert nine_beside(shared, tag, lambda: None) == [EIGHT_MB] * 9


def test_nine_finish_byte_exact_while_one_sends_a_bad_head(shared: Platform, tag: str) -> None:
    def bad() -> None:
        assert shared.get(f"/@probe/bad-head?tag={tag}&status=99").status_code == 502

    assert nine_beside(shared, tag, bad) == [EIGHT_MB] * 9


def test_nine_finish_byte_exact_while_one_client_leaves(shared: Platform, tag: str) -> None:
    def leaves() -> None:
        with RawClient(shared.port) as client:
            client.get(f"/@probe/watch?tag={tag}")
            client.until(b"here\n")
        shared.await_note(tag, "disconnect")

    assert nine_beside(shared, tag, leaves) == [EIGHT_MB] * 9


def test_nine_finish_byte_exact_while_one_runs_into_a_time_out(
    shared: Platform, deploy: Callable[..., str], tag: str
) -> None:
    name = deploy(timeouts={"head": 2.0})

    def times_out() -> None:
        assert shared.get(f"/@{name}/wait?tag={tag}").status_code == 504

    assert nine_beside(shared, tag, times_out, name) == [EIGHT_MB] * 9


def test_lines_are_attributed_to_their_invocation_when_several_run_at_once(shared: Platform, tag: str) -> None:
    tags = [f"{tag}-{number}" for number in range(5)]
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda one: shared.get(f"/@probe/prints?tag={one}"), tags))
    lines = httpx.get(
        f"{shared.control_url}/v1/functions/probe/logs?limit=1000",
        headers={"authorization": f"Bearer {shared.token}"},
    ).text.splitlines()
    import json

    records = [json.loads(line) for line in lines]
    for one, answer in zip(tags, answers, strict=True):
        invocation = answer.headers["x-dialback-id"]
        own = [record["line"] for record in records if record["invocation"] == invocation]
        assert sorted(line for line in own if "prints" in line) == [f"{one} prints {number}" for number in range(5)]
        assert len([line for line in own if "logs" in line]) == 5
