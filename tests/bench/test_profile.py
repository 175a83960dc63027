"""The profile says what each process used, and which of its functions."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bench.profile.hops import Hop, Profile, _listens
from bench.profile.sampler import LOOP
from bench.profile.tables import by_package, functions, tables
from bench.subjects.base import ROOT

SAMPLER = ROOT / "bench/profile/sampler.py"

BUSY = """
import sys, time

def busy_function():
    until = time.process_time() + 0.5
    while time.process_time() < until:
        sum(range(1000))

print("up", flush=True)
sys.stdin.readline()
busy_function()
print("over", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def profile_():
    hop = Hop("edge", 100.0, 20.0, 1.0, {"dialback_edge/a.py:f": 60, LOOP: 30, "re/x.py:g": 10}, {LOOP: 100})
    return Profile("dialback", "Dialback", 5000.0, 4000.0, [hop])


def test_the_sampler_finds_the_function_that_is_busy(tmp_path):
    (tmp_path / "busy.py").write_text(BUSY)
    command = [sys.executable, str(SAMPLER), str(tmp_path), "-m", "busy"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "up\n"
        assert _listens(process.pid)
        process.send_signal(signal.SIGUSR1)
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "over\n"
        process.send_signal(signal.SIGUSR2)
        process.communicate(timeout=20)
    result = json.loads(Path(tmp_path, f"{process.pid}.json").read_text())
    total = sum(result["alone"].values())
    assert total > 20
    busy = sum(count for name, count in result["alone"].items() if name.endswith(":busy_function"))
    assert busy > total * 0.8
    assert result["seconds"] > 0.4


def test_time_is_shared_out_by_package_and_function(profile_):
    text = by_package([profile_])
    assert text.splitlines()[0].split(" | ")[2:] == ["dialback_edge", LOOP, "the rest |"]
    assert text.splitlines()[2].split() == ["|", "Dialback", "|", "edge", "|", "60", "|", "30", "|", "10", "|"]
    first, second = functions(profile_.hops[0], 2).splitlines()[2:]
    assert first.split() == ["|", "`dialback_edge/a.py:f`", "|", "60.0", "|", "60.0", "|"]
    assert second.endswith("100.0 |")


def test_the_tables_say_what_is_missing(profile_):
    text = tables([profile_], {"nginx": "there is no nginx here"}, 5)
    assert text.startswith("**MISSING: nginx → uvicorn**: there is no nginx here")
    assert "5,000" in text
    assert "### Dialback: edge" in text


def test_a_profile_survives_its_file(profile_):
    assert Profile.from_json(json.loads(json.dumps(profile_.as_json()))) == profile_


def test_a_process_without_the_sampler_is_not_signalled():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert not _listens(process.pid)
        process.communicate(b"\n", timeout=20)


def test_a_process_that_was_not_sampled_is_said(profile_):
    assert functions(Hop("worker", 1.0, 0.0, 0.0), 5) == "no samples"


def test_the_command_profiles_a_peer(tmp_path):
    result = tmp_path / "profile.json"
    words = ["-s", "uvicorn", "--seconds", "0.5", "--rounds", "1", "--json", str(result)]
    command = [sys.executable, "-m", "bench.profile", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(result.read_text())["profiles"][0]["hops"][0]["cpu_us"] > 0
