"""How a worker is told what it is, and how it ends with its platform."""

import json
import os
import subprocess
import sys
import threading
from typing import Any

import pytest

from dialback_bridge import launch as launch_module
from dialback_bridge.callback_url import Target
from dialback_bridge.launch import LaunchError, read_launch
from dialback_bridge.watchdog import watch

from .fakes import BOUND

LINE: dict[str, Any] = {
    "version": 1,
    "worker": "w_1",
    "secret": "s3cret",
    "runtime_socket": "/run/x/runtime.sock",
    "entry": "app:app",
    "kind": "asgi",
    "concurrency": 7,
    "callback_socket": "each",
    "event_loop": "asyncio",
    "allow": [{"scheme": "unix", "host": "", "port": 0, "path": "/run/x/receiver.sock"}],
    "dial_timeout": 2,
    "cancel_grace": 0.25,
    "function": "hello",
    "memory_mb": 256,
}


def control(line: bytes) -> tuple[dict[str, str], int, int]:
    """An environment whose control descriptor gives `line`; the descriptors of both ends."""
    reading, writing = os.pipe()
    os.set_inheritable(reading, True)
    os.write(writing, line)
    return {"DIALBACK_CONTROL_FD": str(reading), "KEPT": "1"}, reading, writing


def test_the_line_on_the_control_descriptor_is_the_configuration() -> None:
    environ, reading, writing = control(json.dumps(LINE).encode() + b"\nnot read")
    log_reading, log_writing = os.pipe()
    environ["DIALBACK_LOG_FD"] = str(log_writing)
    launch = read_launch(environ)
    assert environ == {"KEPT": "1"}
    assert (launch.secret, launch.runtime_socket, launch.runtime_address) == ("s3cret", "/run/x/runtime.sock", None)
    assert (launch.entry, launch.kind, launch.concurrency, launch.keep_socket) == ("app:app", "asgi", 7, False)
    assert launch.event_loop == "asyncio"
    assert launch.allow == (Target("unix", path="/run/x/receiver.sock"),)
    assert (launch.dial_timeout, launch.cancel_grace) == (2.0, 0.25)
    assert (launch.control_fd, launch.log_fd) == (reading, log_writing)
    assert not os.get_inheritable(reading)
    assert "s3cret" not in repr(launch)
    assert os.read(reading, 100) == b"not read", "what follows the line is left alone"
    for fd in (reading, writing, log_reading, log_writing):
        os.close(fd)


def test_what_is_not_said_has_a_default() -> None:
    short = {key: LINE[key] for key in ("version", "secret", "runtime_socket", "allow")}
    environ, reading, writing = control(json.dumps(short).encode() + b"\n")
    launch = read_launch(environ)
    assert (launch.entry, launch.kind, launch.concurrency, launch.keep_socket) == (None, None, None, True)
    assert (launch.dial_timeout, launch.cancel_grace, launch.log_fd) == (5.0, 0.5, None)
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "configuration version 2"),
        ({"allow": None}, "TypeError"),
        ({"allow": [{"scheme": "ws"}]}, "KeyError"),
        ({"dial_timeout": "soon"}, "ValueError"),
        ({"callback_socket": "maybe"}, "'keep' or 'each', not 'maybe'"),
        ({"event_loop": "trio"}, "'auto', 'asyncio', 'uvloop', not 'trio'"),
    ],
)
def test_a_wrong_configuration_is_told_without_its_secret(change: dict[str, Any], message: str) -> None:
    environ, reading, writing = control(json.dumps({**LINE, **change}).encode() + b"\n")
    with pytest.raises(LaunchError, match=message) as caught:
        read_launch(environ)
    assert "s3cret" not in str(caught.value)
    os.close(reading)
    os.close(writing)


def test_a_control_descriptor_that_ends_too_early_is_told() -> None:
    environ, reading, writing = control(b'{"version"')
    os.close(writing)
    with pytest.raises(LaunchError, match="ended before"):
        read_launch(environ)
    os.close(reading)


@pytest.mark.parametrize("fd", ["x", "99999", "-1"])
def test_a_descriptor_that_is_none_is_told(fd: str) -> None:
    with pytest.raises(LaunchError, match="not an open file descriptor"):
        read_launch({"DIALBACK_CONTROL_FD": fd})


def test_on_aws_lambda_the_environment_is_the_configuration() -> None:
    environ = {
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
        "_HANDLER": "app.handler",
        "DIALBACK_ALLOW": "wss://example.com/callback/v1, ws://10.0.0.1:8082",
        "DIALBACK_CALLBACK_SOCKET": "each",
    }
    launch = read_launch(environ)
    assert (launch.secret, launch.runtime_socket, launch.runtime_address) == (None, None, ("127.0.0.1", 9001))
    assert (launch.entry, launch.concurrency, launch.keep_socket) == ("app.handler", 1, False)
    assert [str(target) for target in launch.allow] == ["wss://example.com:443/callback/v1", "ws://10.0.0.1:8082"]
    more = {**environ, "DIALBACK_ENTRY": "app:app", "AWS_LAMBDA_MAX_CONCURRENCY": "8"}
    assert (read_launch(more).entry, read_launch(more).concurrency) == ("app:app", 8)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"AWS_LAMBDA_RUNTIME_API": "localhost"},
        {"AWS_LAMBDA_RUNTIME_API": "h:1", "DIALBACK_ALLOW": "http://x"},
        {"AWS_LAMBDA_RUNTIME_API": "h:1", "AWS_LAMBDA_MAX_CONCURRENCY": "0"},
    ],
)
def test_an_environment_that_configures_nothing_is_told(environ: dict[str, str]) -> None:
    with pytest.raises(LaunchError):
        read_launch(environ)


def test_the_watchdog_barks_when_the_control_descriptor_ends() -> None:
    reading, writing = os.pipe()
    ended = threading.Event()
    thread = watch(reading, ended.set)
    os.write(writing, b"anything else is passed over")
    assert not ended.is_set()
    os.close(writing)
    assert ended.wait(BOUND)
    thread.join(BOUND)
    os.close(reading)


def test_the_watchdog_barks_when_the_descriptor_was_taken_away() -> None:
    ended = threading.Event()
    watch(10_000, ended.set).join(BOUND)
    assert ended.is_set()


DOG = """
import os, subprocess, sys, time
from dialback_bridge.watchdog import watch
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdin=subprocess.DEVNULL)
watch(0)
print("ready", flush=True)
while True:
    time.sleep(60)
"""


@pytest.mark.parametrize("leader", [True, False])
def test_a_platform_that_dies_takes_the_workers_whole_group_with_it(leader: bool) -> None:
    code = DOG if leader else DOG.replace("child = ", "child = None and ")
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=leader
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.stdin.close()
    assert process.wait(BOUND) == (-9 if leader else 1)
    assert process.stdout.read() == b"", "its child held the pipe, and is gone too"
    process.stdout.close()


def test_secrets_of_the_line_become_variables_and_stay_out_of_the_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    monkeypatch.setattr(launch_module, "seclude", lambda: closed.append(True))
    environ, reading, writing = control(json.dumps({**LINE, "secrets": {"KEY": "hush", "KEPT": "2"}}).encode() + b"\n")
    launch = read_launch(environ)
    assert environ == {"KEPT": "2", "KEY": "hush"}
    assert closed, "also when nobody had told it to beforehand"
    assert "hush" not in repr(launch)
    os.close(reading)
    os.close(writing)


def test_secrets_that_cannot_be_used_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch_module, "seclude", lambda: None)
    environ, reading, writing = control(json.dumps({**LINE, "secrets": "hush"}).encode() + b"\n")
    with pytest.raises(LaunchError) as caught:
        read_launch(environ)
    assert "hush" not in str(caught.value)
    os.close(reading)
    os.close(writing)


def worker_says(code: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run([sys.executable, "-c", code], input=stdin, capture_output=True, timeout=BOUND, check=False)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has it")
def test_a_process_that_is_told_to_closes_itself_before_it_reads_secrets() -> None:
    done = worker_says(
        "import ctypes, os\n"
        "from dialback_bridge import launch\n"
        "launch.read_line = lambda fd: b'%d' % ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)\n"
        "launch._from_line = lambda line, *rest: line\n"
        "said = {'DIALBACK_CONTROL_FD': '0', 'DIALBACK_CLOSED': '1'}\n"
        "print(launch.read_launch({'DIALBACK_CONTROL_FD': '0'}), launch.read_launch(said), said)\n"
    )
    assert done.stdout == b"b'1' b'0' {}\n", done.stderr


def test_secrets_for_an_inspection_are_the_first_line() -> None:
    code = "from dialback_bridge.launch import read_secrets; print(read_secrets(0))"
    assert worker_says(code, b'{"KEY": "v"}\nmore').stdout == b"{'KEY': 'v'}\n"
    failed = worker_says(code, b'["hush"]\n')
    assert b"the line of secrets cannot be used" in failed.stderr
    assert b"hush" not in failed.stderr
