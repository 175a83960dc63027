"""A fake platform, the command in-process, and the command as a real process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

sys.path.insert(0, str(Path(__file__).parent))

from command import COMMAND, Process, Run
from fake_platform import TOKEN, FakePlatform

from dialback.main import app


@pytest.fixture
def platform() -> Iterator[FakePlatform]:
    fake = FakePlatform()
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing of the machine's own settings, an empty data folder, 100 columns; the data folder."""
    for name in list(os.environ):
        if name.startswith("DIALBACK_") or name in ("NO_COLOR", "FORCE_COLOR", "XDG_DATA_HOME"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TZ", "UTC")
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    monkeypatch.setenv("DIALBACK_DATA_DIR", str(data_dir))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return data_dir


@pytest.fixture
def reachable(platform: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> FakePlatform:
    """The fake platform, named by the environment."""
    monkeypatch.setenv("DIALBACK_CONTROL_URL", platform.control_url)
    monkeypatch.setenv("DIALBACK_CONTROL_TOKEN", TOKEN)
    return platform


@pytest.fixture
def run() -> Run:
    """The command in this process; stdout and stderr apart."""

    def invoke(*arguments: str) -> Result:
        result = CliRunner().invoke(app, list(arguments))
        assert "Traceback" not in result.output
        return result

    return invoke


@pytest.fixture
def spawn() -> Callable[..., Process]:
    """The command as a process, to its end."""

    def run_process(*arguments: str, stdin: bytes = b"", **variables: str) -> Process:
        done = subprocess.run(
            [COMMAND, *arguments],
            input=stdin,
            capture_output=True,
            timeout=120,
            env={**os.environ, **variables},
            check=False,
        )
        stderr = done.stderr.decode()
        assert "Traceback" not in stderr
        return Process(done.returncode, done.stdout, stderr)

    return run_process


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """The command as a process that goes on; ended with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(*arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [COMMAND, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr]
