"""A slow reader pauses the function; no process pays for it with memory."""

import hashlib
import threading
import time

import pytest

from .platform import Platform, eventually, rss_kib
from .raw import RawClient

pytestmark = pytest.mark.system

MB = 1024 * 1024
BLOCK = bytes(range(256)) * 256


class MemoryWatch:
    """The growth of processes' resident memory while the block runs, in KiB."""

    def __init__(self, pids: list[int]) -> None:
        self._start = {pid: rss_kib(pid) for pid in pids}
        self._peak = dict(self._start)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            for pid in self._peak:
                self._peak[pid] = max(self._peak[pid], rss_kib(pid))

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def growth(self) -> dict[int, int]:
        return {pid: self._peak[pid] - self._start[pid] for pid in self._peak}


def processes(platform: Platform) -> list[int]:
    return [platform.edge.pid, platform.invoker.pid, platform.worker_pid()]


@pytest.mark.slow
def test_a_reader_at_8_mb_a_second_gets_all_64_mb_and_no_process_grows(shared: Platform, tag: str) -> None:
    shared.get("/@probe/bulk?mb=4&tag=warm-up")
    digest, size = hashlib.sha256(), 0
    with RawClient(shared.port, receive_buffer=64 * 1024) as client, MemoryWatch(processes(shared)) as memory:
        client.get(f"/@probe/bulk?mb=64&tag={tag}", "Connection: close")
        client.until(b"\r\n\r\n")
        body = bytes(client.received).partition(b"\r\n\r\n")[2]
        began = time.monotonic()
        while True:
            digest.update(body)
            size += len(body)
            ahead = size / (8 * MB) - (time.monotonic() - began)
            if ahead > 0:
                threading.Event().wait(ahead)
            body = client.socket.recv(64 * 1024)
            if not body:
                break
            assert shared.progress(tag) * len(BLOCK) - size < 8 * MB, "the function ran ahead of its reader"
    assert size == 64 * MB
    assert digest.hexdigest() == hashlib.sha256(BLOCK * 1024).hexdigest()
    assert max(memory.growth.values()) < 8 * 1024, memory.growth


def test_a_reader_that_stops_pauses_the_function(shared: Platform, tag: str) -> None:
    shared.get("/@probe/bulk?mb=4&tag=warm-up")
    with RawClient(shared.port, receive_buffer=64 * 1024) as client, MemoryWatch(processes(shared)) as memory:
        client.get(f"/@probe/bulk?mb=64&tag={tag}", "Connection: close")
        client.until(b"\r\n\r\n")
        still = _settled(shared, tag)
        assert still * len(BLOCK) < 8 * MB, "the function was not paused"
        # It goes on as soon as the reader does.
        received = client.rest()
    assert len(received.partition(b"\r\n\r\n")[2]) == 64 * MB
    assert max(memory.growth.values()) < 8 * 1024, memory.growth


def _settled(platform: Platform, tag: str) -> int:
    """How far the function came, once that has not changed for half a second."""
    seen = [(time.monotonic(), -1)]

    def settled() -> bool:
        now, progress = time.monotonic(), platform.progress(tag)
        if progress != seen[-1][1]:
            seen.append((now, progress))
        return progress > 0 and now - seen[-1][0] > 0.5

    eventually(settled, 30.0, "the function never stopped writing")
    return seen[-1][1]


def test_a_function_that_does_not_read_pauses_the_upload(shared: Platform, tag: str) -> None:
    with RawClient(shared.port) as client, MemoryWatch(processes(shared)) as memory:
        length = 64 * MB
        client.send(f"POST /@probe/wait?tag={tag} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
        client.socket.settimeout(0.5)
        assert _send_until_it_stalls(client, length) < 16 * MB
    assert max(memory.growth.values()) < 8 * 1024, memory.growth


def _send_until_it_stalls(client: RawClient, length: int) -> int:
    sent = 0
    try:
        while sent < length:
            sent += client.socket.send(BLOCK)
    except TimeoutError:
        pass
    return sent
