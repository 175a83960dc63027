"""`dialback check --probe` through a real nginx in front of a real platform."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from .platform import Platform, eventually

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx"),
]
CONFIG = """
worker_processes 1; daemon off; pid {root}/nginx.pid; error_log {root}/nginx.err;
events {{}}
http {{
  access_log off; gzip_min_length 1;
  client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;
  uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;
  server {{
    listen unix:{root}/nginx.sock; listen 127.0.0.1:{port};
    location / {{ proxy_pass {upstream}; {more} }}
  }}
}}
"""


class Nginx:
    """On a port that was free a moment ago."""

    def __init__(self, root: Path, upstream: str, more: str) -> None:
        import socket

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        config = root / "nginx.conf"
        config.write_text(CONFIG.format(root=root, upstream=upstream, more=more, port=self.port))
        self.process = subprocess.Popen(["nginx", "-e", str(root / "nginx.err"), "-c", str(config)])
        self.url = f"http://127.0.0.1:{self.port}"
        eventually(self._answers, 30.0, "nginx does not answer")

    def _answers(self) -> bool:
        try:
            return httpx.get(self.url, timeout=60).status_code > 0
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    platform = Platform()
    try:
        yield platform.start()
    finally:
        platform.destroy()


def check(platform: Platform, more: str, tmp_path: Path, *flags: str) -> tuple[int, Any]:
    nginx = Nginx(tmp_path, platform.url, more)
    try:
        done = platform.command("check", nginx.url, "--probe", "--json", *flags, check=False)
    finally:
        nginx.stop()
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_nginx_as_it_is_holds_a_stream_back_in_blocks_of_4_kib(platform: Platform, tmp_path: Path) -> None:
    code, found = check(platform, "", tmp_path)
    assert (code, found["verdict"], found["block"]) == (1, "in blocks", 4096)
    assert found["where"].startswith(f"between {platform.url} and ")
    assert "nginx" in found["where"]
    assert "proxy_buffering off" in found["advice"][0]
    assert json.loads(platform.command("ls", "--json").stdout)["functions"] == [], "the probe is gone again"


def test_nginx_that_does_not_buffer_streams(platform: Platform, tmp_path: Path) -> None:
    code, found = check(platform, "proxy_buffering off;", tmp_path, "--type", "text/event-stream")
    assert (code, found["verdict"], found["where"]) == (0, "streams", "nowhere: the whole way streams")


def test_nginx_that_compresses_is_found(platform: Platform, tmp_path: Path) -> None:
    code, found = check(platform, "proxy_buffering off; gzip on; gzip_types text/plain; gzip_proxied any;", tmp_path)
    assert code == 1
    assert any("compressed it on the way: content-encoding: gzip" in reason for reason in found["reasons"])


def test_a_clean_edge_streams(platform: Platform) -> None:
    done = platform.command("check", platform.url, "--probe", check=False)
    assert done.returncode == 0, done.stdout
    assert "streams" in done.stdout


def test_a_function_in_buffered_mode_is_told_from_a_proxy(platform: Platform) -> None:
    platform.deploy_probe("whole", mode="buffered")
    done = platform.command("check", f"{platform.url}/@whole/stream?n=8&gap=0.2", "--json", check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    where = json.loads(done.stdout)["where"]
    assert where == "before Dialback's edge: it left there at once (the function's mode is buffered)"
