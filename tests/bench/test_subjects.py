"""Every server answers the same function; one that cannot start is missing, and leaves nothing behind."""

import shutil

import httpx
import pytest
import tomllib
from bench.processes import tree
from bench.subjects import SUBJECTS, Missing, Subject, installed, zygote
from bench.subjects import dialback as dialback_subject
from bench.subjects.base import ROOT
from bench.subjects.dialback import public_url, ready_line
from bench.subjects.functions import BARE, FASTAPI, Settings, write_function
from bench.subjects.uvicorn_direct import UvicornDirect
from bench.subjects.workerd import port as workerd_port
from bench.workloads import WORKLOADS

from dialback_invoker.function_config import FunctionConfig

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


@pytest.mark.skipif(NGINX is None, reason="no nginx here")
@pytest.mark.parametrize("name", ["nginx", "nginx-tuned"])
def test_nginx_relays_and_leaves_nothing(name):
    subject = SUBJECTS[name]()
    try:
        url = subject.start()
        folder = subject.folder
        assert httpx.get(url + "/hello").content == b"Hello world\n"
        assert httpx.post(url + "/sink", content=bytes(3_000_000)).json() == {"received": 3_000_000}
        pids = subject.pids()
        assert len(pids) >= 3
    finally:
        subject.stop()
    assert tree(pids) == {}
    assert not folder.exists()


def test_without_nginx_the_peer_is_missing(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(Missing, match="apt-get install"):
        SUBJECTS["nginx"]().start()


class Dies(Subject):
    name = title = "dies"

    def launch(self) -> str:
        first = self.run(["sh", "-c", "echo up; sleep 60"])
        first.wait_for(lambda line: line)
        self.pid = first.pid
        return self.run(["sh", "-c", "echo the disk is full; exit 3"]).wait_for(lambda line: None)


def test_what_was_started_before_the_failure_is_ended():
    subject = Dies()
    with pytest.raises(Missing, match="ended with 3: the disk is full"):
        subject.start()
    assert tree([subject.pid]) == {}
    assert subject.processes == []


PLATFORM = """#!/bin/sh
case "$1 $2" in
"serve invoker") echo 'log line'; echo '{"event":"ready","control_url":"http://127.0.0.1:8"}'; exec sleep 60;;
"serve edge") echo '{"event":"ready","public_url":"http://127.0.0.1:9/"}'; exec sleep 60;;
"up --port") echo '{"event":"ready","control_url":"http://127.0.0.1:8","public_url":"http://127.0.0.1:9"}'
    exec sleep 60;;
deploy*) test "$DIALBACK_CONTROL_URL" = http://127.0.0.1:8 && grep -q "max_workers = 1" "$2/dialback.toml" \\
    && test -f "$2/app.py" && test -z "$DIALBACK_PORT";;
esac
"""


@pytest.mark.parametrize(
    ("name", "processes", "settings"),
    [
        ("dialback", 2, {"mode": "callback", "callback_socket": "keep", "launcher": "process"}),
        ("dialback-tunnel", 2, {"mode": "tunnel"}),
        ("dialback-buffered", 2, {"mode": "buffered"}),
        ("dialback-up", 1, {"mode": "callback"}),
        ("dialback-up-tunnel", 1, {"mode": "tunnel"}),
        ("dialback-up-each", 1, {"callback_socket": "each"}),
        ("dialback-each", 2, {"callback_socket": "each"}),
    ],
)
def test_dialback_is_started_deployed_to_and_ended(monkeypatch, tmp_path, name, processes, settings):
    program = tmp_path / "dialback"
    program.write_text(PLATFORM)
    program.chmod(0o755)
    monkeypatch.setattr(dialback_subject, "DIALBACK", str(program))
    monkeypatch.setattr(dialback_subject.Dialback, "must_exist", lambda self: None)
    monkeypatch.setenv("DIALBACK_PORT", "1")
    subject = SUBJECTS[name]()
    try:
        assert subject.start() == "http://127.0.0.1:9/@bench"
        pids = subject.pids()
        assert len(pids) == processes
        written = tomllib.loads((subject.folder / "function/dialback.toml").read_text())
        assert settings.items() <= written.items()
        FunctionConfig.model_validate(written)
        parts = subject.parts()
        assert sorted(parts)[0].startswith("edge")
        assert {pid for kind in parts.values() for pid in kind} <= set(tree(pids))
    finally:
        subject.stop()
    assert tree(pids) == {}


@pytest.mark.parametrize("variant", [BARE, FASTAPI])
def test_a_cold_start_has_a_function_of_its_own(tmp_path, variant):
    write_function(tmp_path / "function", variant, Settings())
    written = tomllib.loads((tmp_path / "function/dialback.toml").read_text())
    assert written["idle_seconds"] <= 1
    assert "Hello world" in (tmp_path / "function/app.py").read_text()


def test_a_version_without_zygotes_says_so(monkeypatch):
    monkeypatch.setattr(zygote, "KEY", "NOBODY_HAS_THIS")
    with pytest.raises(Missing, match="no zygotes"):
        SUBJECTS["dialback-spawn"]().start()
    monkeypatch.setattr(zygote, "KEY", "QUEUE_LIMIT")
    assert SUBJECTS["dialback-up-spawn"]().environment()["DIALBACK_QUEUE_LIMIT"] == "0"


def test_a_subject_settles_when_it_starts_no_process_any_more():
    class Grows(UvicornDirect):
        def __init__(self):
            super().__init__()
            self.looks = [[1], [1, 2], [1, 2], [1, 2, 3]]

        def pids(self):
            return self.looks.pop(0)

    subject = Grows()
    subject.settle()
    assert subject.looks == [[1, 2, 3]]


def test_everybody_who_cannot_says_why():
    for subject in SUBJECTS.values():
        assert subject.cannot.keys() <= WORKLOADS.keys()
        assert all(subject.cannot.values())


@pytest.mark.parametrize(
    ("line", "port_"), [('{"event":"listen","socket":"http","port":43069}', 43069), ("x", None), ("[]", None)]
)
def test_workerd_says_its_port(line, port_):
    assert workerd_port(line) == port_


def test_peers_from_registries_are_installed_once_and_whole(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    times = []

    def install(folder):
        times.append(folder)
        if len(times) == 1:
            (folder / "half").touch()
            raise Missing("the registry is away")
        (folder / "whole").touch()

    with pytest.raises(Missing, match="away"):
        installed._once("npm", ROOT / "bench/peers/package-lock.json", install)
    assert list((tmp_path / "dialback-bench").iterdir()) == []
    first = installed._once("npm", ROOT / "bench/peers/package-lock.json", install)
    assert installed._once("npm", ROOT / "bench/peers/package-lock.json", install) == first
    assert [path.name for path in first.iterdir()] == ["whole"]
    assert len(times) == 2


def test_an_installer_that_fails_makes_the_peer_missing(tmp_path):
    with pytest.raises(Missing, match="sh ended with 3: no such registry"):
        installed._run(["sh", "-c", "echo no such registry; exit 3"], tmp_path)
    with pytest.raises(Missing, match="No such file"):
        installed._run(["/nonexistent"], tmp_path)


@pytest.mark.parametrize("name", ["workerd", "functions-node", "functions-python"])
def test_peers_serve_the_same_workloads(name):
    if not list((installed.cache()).glob("python-*" if name == "functions-python" else "npm-*")):
        pytest.skip("this peer was not installed yet: python -m bench --only hello1 --subject " + name)
    subject = SUBJECTS[name]()
    try:
        url = subject.start()
        assert httpx.get(url + "/hello").content == b"Hello world\n"
        made = httpx.get(url + "/stream?count=3&gap=0.01").content
        assert len(made) == 300
        assert [int(made[at : at + 19]) >= 0 for at in (0, 100, 200)] == [True] * 3
        assert len(httpx.get(url + "/bulk?bytes=1000001&chunk=65536").content) == 1_000_001
        assert len(httpx.get(url + "/tiny?count=50&size=64").content) == 3200
        assert httpx.get(url + "/sse?count=2&gap=0.01").text.startswith("id: 0\ndata: ")
        assert httpx.get(url + "/other").status_code == 404
        if "upload" not in subject.cannot:
            assert httpx.post(url + "/sink", content=bytes(100_000)).text == '{"received": 100000}'
        pids = subject.pids()
    finally:
        subject.stop()
    assert tree(pids) == {}


def test_without_npm_workerd_is_missing(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(Missing, match="apt-get install nodejs npm"):
        SUBJECTS["workerd"]().start()


def test_the_locks_of_peers_name_no_host():
    assert "resolved" not in (ROOT / "bench/peers/package-lock.json").read_text()
    assert "://" not in (ROOT / "requirements/peers.txt").read_text()


def test_a_deployment_that_fails_makes_it_missing(monkeypatch, tmp_path):
    program = tmp_path / "dialback"
    program.write_text(PLATFORM.replace("deploy*) ", "deploy*) echo no such entry >&2; exit 2; "))
    program.chmod(0o755)
    monkeypatch.setattr(dialback_subject, "DIALBACK", str(program))
    monkeypatch.setattr(dialback_subject.Dialback, "must_exist", lambda self: None)
    with pytest.raises(Missing, match="deploy ended with 2: no such entry"):
        SUBJECTS["dialback"]().start()


def test_only_a_ready_line_is_a_ready_line():
    assert ready_line('{"event":"ready","public_url":"x"}') == {"event": "ready", "public_url": "x"}
    assert [ready_line(line) for line in ("starting", "[1]", '{"event":"log"}', "{")] == [None] * 4


def test_a_ready_line_without_an_address_is_an_error():
    with pytest.raises(Exception, match="no public_url"):
        public_url({"event": "ready"})
