"""A Docker Engine of the tests' own, to be stopped, killed and filled up.

It lives in a network namespace of its own: two engines in one would undo each other's rules of the packet filter.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest

from dialback_invoker.launchers.docker_container import DEFAULT_IMAGE

from .docker_engine import collect

START_SECONDS = 30.0
DISK = 700 * 1024 * 1024
"""Bytes of the engine's own disk."""


class OwnEngine:
    """`start` and `stop` as often as wanted, `destroy` once."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="dbe-", dir="/tmp"))
        self.host = f"unix://{self.root}/docker.sock"
        self._log = (self.root / "log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None
        disk = self.root / "disk"
        with disk.open("wb") as file:
            file.truncate(DISK)
        self.data = self.root / "data"
        self.data.mkdir()
        _run("mkfs.ext4", "-q", "-m", "0", str(disk))
        _run("mount", "-o", "loop", str(disk), str(self.data))

    def start(self) -> None:
        """Returns when it answers."""
        flags = ["--data-root", self.data, "--exec-root", self.root / "exec", "--pidfile", self.root / "pid"]
        script = 'ip link set lo up; exec dockerd "$@"'
        self._process = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", script, "dockerd", "-H", self.host, *map(str, flags)],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self._answers():
                collect()
                return
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise AssertionError((self.root / "log").read_text()[-3000:])
            time.sleep(0.1)

    def _answers(self) -> bool:
        asking = docker.APIClient(base_url=self.host, version="1.41", timeout=5)
        try:
            return bool(asking.ping())
        except (docker.errors.DockerException, OSError):
            return False
        finally:
            asking.close()

    def client(self) -> Any:
        return docker.APIClient(base_url=self.host, version="auto", timeout=60)

    def load(self, image: str, source: Any) -> None:
        """Copies an image from another engine."""
        client = self.client()
        with tempfile.TemporaryFile(dir=self.root) as file:
            for piece in source.get_image(image):
                file.write(piece)
            file.seek(0)
            client.load_image(file)
        client.close()

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ends the engine's own process; with SIGKILL its containers go on without it."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(60)
        if number == signal.SIGKILL:
            # Its containerd would hold the next one's files.
            for name in ("exec/containerd/containerd.pid", "pid"):
                path = self.root / name
                if path.exists():
                    _kill(int(path.read_text()))
                    path.unlink()

    def fill(self) -> None:
        """Leaves no byte on its disk."""
        handle = os.open(self.data / "filler", os.O_WRONLY | os.O_CREAT, 0o600)
        size = 0
        for step in (16 * 1024 * 1024, 1024 * 1024, 4096):
            try:
                while True:
                    os.posix_fallocate(handle, size, step)
                    size += step
            except OSError:
                continue
        os.fsync(handle)
        os.close(handle)

    def empty(self) -> None:
        """Undoes `fill`."""
        (self.data / "filler").unlink()

    def destroy(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()
        self._log.close()
        subprocess.run(["umount", "-l", str(self.data)], check=False)
        shutil.rmtree(self.root, ignore_errors=True)


@contextmanager
def engine_of_ones_own(client: Any) -> Iterator[OwnEngine]:
    """One that runs and has the workers' image, from the engine of `client`. Skips where nobody may start one."""
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED, an engine of one's own takes root")
    own = OwnEngine()
    try:
        own.start()
        own.load(DEFAULT_IMAGE, client)
        collect()
        yield own
    finally:
        own.destroy()
        collect()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
