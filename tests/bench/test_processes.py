"""Servers are waited for, measured as a tree, and ended as a tree."""

import os
import sys
from pathlib import Path

import pytest
from bench.processes import Growth, Process, StartError, cpu_seconds, pss_kib, rss_kib, tree

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"])
time.sleep(60)
"""


@pytest.fixture
def run():
    started = []

    def start(code):
        started.append(Process([sys.executable, "-c", code], cwd=Path.cwd()))
        return started[-1]

    yield start
    for process in started:
        process.stop()


def test_the_whole_tree_is_found_measured_and_ended(run):
    process = run(PARENT)
    process.wait_for(lambda line: line.strip() == "up" or None)
    family = list(tree([process.pid]))
    assert process.pid in family
    assert len(family) == 2
    assert pss_kib(family) > 1000
    assert cpu_seconds(family) > 0
    assert rss_kib(process.pid) > 1000
    process.stop()
    assert tree(family) == {}


def test_a_process_that_will_not_end_is_killed(run):
    process = run("import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)")
    process.wait_for(lambda line: line.strip() == "up" or None)
    process.stop(seconds=0.2)
    assert tree([process.pid]) == {}


def test_a_start_that_fails_tells_its_last_words(run):
    process = run("import sys; sys.exit('the port is taken')")
    with pytest.raises(StartError, match="ended with 1: the port is taken"):
        process.wait_for(lambda line: None)


def test_a_start_that_takes_too_long_is_an_error(run):
    process = run("import time; print('thinking', flush=True); time.sleep(60)")
    with pytest.raises(StartError, match=r"not ready after 0\.5 s"):
        process.wait_for(lambda line: None, seconds=0.5)


def test_a_program_that_is_not_there_is_a_start_error(tmp_path):
    with pytest.raises(StartError, match="No such file"):
        Process(["/nonexistent/program"], cwd=tmp_path)


def test_growth_is_what_the_process_that_grew_most_has_grown():
    growth = Growth([os.getpid()], every=0.01)
    block = bytearray(os.urandom(1 << 20) * 30)
    assert growth.stop() > 20_000
    del block


def test_processes_that_are_gone_count_as_nothing():
    gone = 2**22 + 1
    assert (pss_kib([gone]), rss_kib(gone), cpu_seconds([gone]), tree([gone])) == (0, 0, 0, {})
