"""What docs/streaming-well.md says about nginx in front of the edge: what it holds back, and what helps."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from .platform import Platform, eventually

pytestmark = pytest.mark.system

FUNCTION = """
import asyncio

from dialback_bridge import Response, event_stream


async def ticks(fails):
    for number in range(6):
        yield f"tick {number}"
        await asyncio.sleep(0.15)
    if fails:
        raise ValueError("the source broke")


async def silence():
    try:
        yield "before"
        await asyncio.sleep(2)
        yield "after"
    except asyncio.CancelledError:
        print("cancelled")
        raise


async def GET(request):
    if request.path == "/plain":
        return Response((line + "\\n" async for line in ticks(False)), headers={"content-type": "text/plain"})
    if request.path == "/silent":
        return event_stream(silence(), heartbeat=None)
    if request.path == "/quiet":
        return event_stream(silence(), heartbeat=0.4)
    return event_stream(ticks(request.path == "/fails"))
"""
SERVERS = {
    "defaults": "",
    "http-1.1": "proxy_http_version 1.1;",
    "unbuffered": "proxy_buffering off;",
    "gzip": "proxy_buffering off; gzip on; gzip_types *; gzip_min_length 0; gzip_proxied any;",
    "impatient": "proxy_buffering off; proxy_read_timeout 1s;",
}


class Urls(dict[str, str]):
    """Where the function is reached, by the names of `SERVERS`; and the platform that runs it."""

    def __init__(self, platform: Platform, urls: dict[str, str]) -> None:
        super().__init__(urls)
        self.platform = platform


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Urls]:
    """An address of the function for each configuration of nginx."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is missing")
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "ticks").mkdir()
    (folder / "ticks/app.py").write_text(FUNCTION)
    platform = Platform()
    try:
        platform.start()
        platform.command("deploy", str(folder / "ticks"))
        assert platform.get("/@ticks/plain").status_code == 200
        with Nginx(folder, platform.url) as ports:
            servers = {name: f"http://127.0.0.1:{port}/@ticks" for name, port in ports.items()}
            yield Urls(platform, {**servers, "none": f"{platform.url}/@ticks"})
    finally:
        platform.destroy()


class Nginx:
    """An nginx with a server for each configuration, before `upstream`."""

    def __init__(self, folder: Path, upstream: str) -> None:
        holders = [socket.create_server(("127.0.0.1", 0)) for _ in SERVERS]
        self.ports = {name: holder.getsockname()[1] for name, holder in zip(SERVERS, holders, strict=True)}
        for holder in holders:
            holder.close()
        places = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
        servers = "\n".join(
            f"server {{ listen 127.0.0.1:{self.ports[name]}; {extra} location / {{ proxy_pass {upstream}; }} }}"
            for name, extra in SERVERS.items()
        )
        self.config = folder / "nginx.conf"
        self.config.write_text(
            f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors; events {{}}\n"
            f"http {{ access_log off; client_body_temp_path {folder}/body; {places}\n{servers}\n}}\n"
        )

    def __enter__(self) -> dict[str, int]:
        self.process = subprocess.Popen(["nginx", "-c", str(self.config)], stderr=subprocess.DEVNULL)
        eventually(lambda: all(map(_listens, self.ports.values())), 30.0, "nginx does not listen")
        return self.ports

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True)
class Seen:
    """An answer as its client saw it; `spread` is the time between its first and its last piece, in seconds."""

    text: str
    spread: float
    headers: httpx.Headers
    broken: bool


def see(url: str, **headers: str) -> Seen:
    moments: list[float] = []
    text, broken = "", False
    with httpx.stream("GET", url, headers=headers, timeout=60) as response:
        try:
            for piece in response.iter_text():
                moments.append(time.monotonic())
                text += piece
        except httpx.RemoteProtocolError:
            broken = True
    return Seen(text, moments[-1] - moments[0] if moments else 0.0, response.headers, broken)


STREAMS = 0.4
"""Of 0.75 s between the first and the last tick; less came at once."""


def test_with_its_defaults_nginx_holds_a_stream_back(urls: dict[str, str]) -> None:
    assert see(urls["none"] + "/plain").spread > STREAMS
    seen = see(urls["defaults"] + "/plain")
    assert seen.spread < STREAMS
    assert seen.text.count("tick") == 6


@pytest.mark.parametrize("server", ["http-1.1", "unbuffered"])
def test_either_setting_lets_it_through(urls: dict[str, str], server: str) -> None:
    assert see(urls[server] + "/plain").spread > STREAMS


def test_what_event_stream_says_lets_it_through_the_defaults(urls: dict[str, str]) -> None:
    seen = see(urls["defaults"] + "/events")
    assert seen.spread > STREAMS
    assert "x-accel-buffering" not in seen.headers


def test_its_compressor_sends_each_part_on_and_does_not_mind_no_transform(urls: dict[str, str]) -> None:
    seen = see(urls["gzip"] + "/events", **{"accept-encoding": "gzip"})
    assert seen.headers["content-encoding"] == "gzip"
    assert seen.headers["cache-control"] == "no-cache, no-transform"
    assert seen.spread > STREAMS


@pytest.mark.parametrize("server", ["none", "defaults", "http-1.1", "unbuffered", "gzip"])
def test_a_failure_in_mid_stream_reaches_the_client_through_it(urls: dict[str, str], server: str) -> None:
    seen = see(urls[server] + "/fails")
    assert seen.broken
    assert 'event: error\ndata: {"type": "ValueError", "message": "the source broke"}' in seen.text


def test_silence_longer_than_its_patience_ends_a_stream_and_a_heartbeat_is_no_silence(urls: dict[str, str]) -> None:
    assert see(urls["impatient"] + "/silent").broken
    seen = see(urls["impatient"] + "/quiet")
    assert not seen.broken
    assert seen.text.endswith("data: after\n\n")


@pytest.mark.parametrize("server", ["defaults", "unbuffered"])
def test_a_client_that_leaves_is_noticed_through_it(urls: Urls, server: str) -> None:
    def cancelled() -> int:
        return urls.platform.command("logs", "ticks").stdout.count("cancelled")

    before = cancelled()
    with httpx.stream("GET", urls[server] + "/quiet") as response:
        next(response.iter_raw())
    eventually(lambda: cancelled() > before, 1.5, "the source was not cancelled")
