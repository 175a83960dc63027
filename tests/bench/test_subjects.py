"""Every server answers the same function; one that cannot start is missing, and leaves nothing behind."""

import shutil

import httpx
import pytest
from bench.processes import tree
from bench.subjects import SUBJECTS, Missing, Subject
from bench.subjects import dialback as dialback_subject
from bench.subjects.dialback import public_url, ready_line

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
    ("name", "processes"), [("dialback", 2), ("dialback-tunnel", 2), ("dialback-up", 1), ("dialback-each", 2)]
)
def test_dialback_is_started_deployed_to_and_ended(monkeypatch, tmp_path, name, processes):
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
    finally:
        subject.stop()
    assert tree(pids) == {}


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
