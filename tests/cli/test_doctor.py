"""`dialback doctor`: each look, on machines that lack something."""

import json
import os
import resource
import shutil
import socket
import stat
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer
from types import SimpleNamespace
from typing import Any

import pytest
from command import Run

from dialback.doctor import machine, setup
from dialback.doctor.findings import Finding, Grade
from dialback.doctor.view import findings_json, findings_lines
from dialback.settings import Listen, Settings, resolve
from dialback.whereabouts import Running, write_running


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return resolve({"data_dir": str(tmp_path / "own")}, {}, tmp_path)


def test_the_command_looks_at_everything_and_says_what_is_broken(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        taken.listen()
        done = run("doctor", "--port", str(port), "--control-port", "0")
    assert done.exit_code == 1, done.output
    assert f"127.0.0.1:{port} cannot be opened" in done.stdout
    assert "1 broken" in done.stdout
    done = run("doctor", "--port", "0", "--control-port", "0", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["ok"] is True
    assert len({each["what"] for each in said["findings"]}) == len(said["findings"]) >= 15


def test_strict_counts_warnings(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    flags = ("doctor", "--port", "0", "--control-port", "0")
    done = run(*flags)
    assert (done.exit_code, "to look at" in done.stdout) == (0, True)
    assert run(*flags, "--strict").exit_code == 1


def test_a_port_of_a_running_platform_is_fine(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = Listen("127.0.0.1", taken.getsockname()[1])
        assert setup.port("p", where, settings).grade is Grade.BROKEN
        settings.data_dir.mkdir()
        write_running(settings.data_dir, Running("http://127.0.0.1:1", "http://127.0.0.1:2", os.getpid()))
        assert setup.port("p", where, settings).grade is Grade.OK
    assert setup.port("p", where, settings).found.endswith("is free")
    assert setup.port("p", Listen("no.such.host.invalid", 80), settings).grade is Grade.BROKEN


def test_the_data_folder_is_looked_at_before_it_is_there(settings: Settings, tmp_path: Path) -> None:
    assert "made at the first start" in setup.data_dir(settings).found
    assert not settings.data_dir.exists()
    settings.data_dir.write_text("a file")
    assert setup.data_dir(settings).grade is Grade.BROKEN
    settings.data_dir.unlink()
    settings.data_dir.mkdir()
    assert setup.data_dir(settings).grade is Grade.OK


def test_little_room_and_foreign_folders_are_said(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.data_dir.mkdir()
    with monkeypatch.context() as changed:
        changed.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
        assert setup.data_dir(settings).grade is Grade.WARN
    with monkeypatch.context() as changed:
        changed.setattr(os, "access", lambda *_: False)
        assert "cannot be written" in setup.data_dir(settings).found
    with monkeypatch.context() as changed:
        changed.setattr(os, "getuid", lambda: 12345)
        assert "belongs to another user" in setup.data_dir(settings).found


def test_a_run_folder_that_is_too_long_is_broken(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    assert setup.run_dir(settings).grade is Grade.BROKEN
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert setup.run_dir(settings).grade is Grade.OK


class Engine(BaseHTTPRequestHandler):
    said = b'{"Version": "27.1", "ApiVersion": "1.46"}'

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.said)))
        self.end_headers()
        self.wfile.write(self.said)

    def address_string(self) -> str:
        return ""

    def log_message(self, *_: Any) -> None:
        pass


def test_an_engine_is_asked_for_its_version(settings: Settings, tmp_path: Path) -> None:
    place = tmp_path / "docker.sock"
    host = {"DOCKER_HOST": f"unix://{place}"}
    missing = setup.engine(settings, host)
    assert (missing.grade, "there is no socket" in missing.found) == (Grade.NOTE, True)
    with UnixStreamServer(str(place), Engine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert setup.engine(settings, host) == Finding("Docker", Grade.OK, "engine 27.1, API 1.46")
        server.shutdown()
    assert setup.engine(settings, {"DOCKER_HOST": "tcp://127.0.0.1:1"}).grade is Grade.NOTE


def test_a_socket_that_may_not_be_used_says_how_to_be_allowed(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place))
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "usermod -aG docker" in setup.engine(settings, {"DOCKER_HOST": f"unix://{place}"}).do


@pytest.mark.parametrize(
    ("environ", "grade"),
    [
        ({}, Grade.OK),
        ({"http_proxy": ""}, Grade.OK),
        ({"HTTPS_PROXY": "http://p"}, Grade.WARN),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "example.org"}, Grade.WARN),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "localhost, 127.0.0.1"}, Grade.OK),
        ({"ALL_PROXY": "http://p", "no_proxy": "*"}, Grade.OK),
    ],
)
def test_proxies_that_would_take_local_requests_are_a_warning(environ: dict[str, str], grade: Grade) -> None:
    assert machine.proxies(environ).grade is grade


def test_tools_are_found_or_said_to_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.other_pythons({"PATH": str(tmp_path)}).grade is Grade.NOTE
    fake = tmp_path / "python3.12"
    fake.write_text("#!/bin/sh\n")
    fake.chmod(stat.S_IRWXU)
    assert machine.other_pythons({"PATH": str(tmp_path)}).found == "python3.12"
    assert machine.uv({"PATH": ""}).grade is Grade.OK
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    assert machine.uv({}).grade is Grade.WARN
    assert (machine.chromium().grade, machine.nginx().grade) == (Grade.NOTE, Grade.NOTE)


def test_a_uv_that_does_not_run_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "uv"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(stat.S_IRWXU)
    monkeypatch.setattr(shutil, "which", lambda *_, **__: str(broken))
    assert machine.uv({}).grade is Grade.WARN
    broken.chmod(0)
    broken.write_bytes(b"")
    assert machine._first_line([str(tmp_path / "none")]) == ""


def test_limits_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, grade in ((1024, Grade.WARN), (65536, Grade.OK), (resource.RLIM_INFINITY, Grade.OK)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, 100_000))
        assert machine.open_files().grade is grade
    monkeypatch.setattr(machine.cgroup, "find_base", lambda _: None)
    assert machine.memory_limits().grade is Grade.NOTE
    base = machine.cgroup.Base(Path("/sys"), 2, True)
    monkeypatch.setattr(machine.cgroup, "find_base", lambda _: base)
    assert machine.memory_limits().found == "by the kernel (cgroup v2)"


def test_names_below_localhost_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolving(*addresses: str) -> Any:
        return lambda *_, **__: [(0, 0, 0, "", (address, 80)) for address in addresses]

    def failing(*_: Any, **__: Any) -> Any:
        raise socket.gaierror

    for resolve_, grade in (
        (resolving("127.0.0.1", "::1"), Grade.OK),
        (resolving("10.0.0.9"), Grade.WARN),
        (failing, Grade.NOTE),
    ):
        monkeypatch.setattr(socket, "getaddrinfo", resolve_)
        assert machine.localhost_names().grade is grade


def test_other_systems_and_shells_are_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.platform, "system", lambda: "Darwin")
    assert machine.system().grade is Grade.WARN
    assert machine.completion({"HOME": str(tmp_path)}).grade is Grade.NOTE
    (tmp_path / ".zfunc").mkdir()
    (tmp_path / ".zfunc/_dialback").write_text("")
    assert machine.completion({"HOME": str(tmp_path)}).grade is Grade.OK


def test_findings_are_summed_up() -> None:
    fine = [Finding("a", Grade.OK, "x"), Finding("b", Grade.NOTE, "y", "do")]
    assert [line.plain for line in findings_lines(fine)][-1] == "all is well"
    assert findings_json([Finding("c", Grade.BROKEN, "z")])["ok"] is False
