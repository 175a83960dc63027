"""A worker's folder, and the small print of a start."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dialback_invoker.launchers import spawn, workspace
from dialback_invoker.launchers.workspace import PidFile, copy_code, make, remove


def test_the_copy_is_private_and_writable_and_follows_no_link(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    (bundle / "inner").mkdir(parents=True)
    (bundle / "run.sh").write_text("#!/bin/sh\n")
    (bundle / "inner" / "data").write_text("data")
    (bundle / "run.sh").chmod(0o500)
    (bundle / "inner" / "data").chmod(0o444)
    (bundle / "inner").chmod(0o555)
    (bundle / "link").symlink_to("/etc/passwd")
    folder = tmp_path / "run" / "workers" / "w_1"
    make(folder)
    code = copy_code(bundle, folder)
    modes = {path.name: path.lstat().st_mode & 0o777 for path in code.rglob("*") if not path.is_symlink()}
    assert modes == {"run.sh": 0o700, "inner": 0o700, "data": 0o600}
    assert os.readlink(code / "link") == "/etc/passwd"
    with pytest.raises(FileExistsError):
        make(folder)
    assert remove(folder)
    assert remove(folder)  # twice is harmless


def test_folders_that_a_function_closed_are_opened_to_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root is refused nothing, so the refusals are played: rmtree says what it could not do."""
    folder = tmp_path / "w_1"
    (folder / "closed").mkdir(parents=True)
    (folder / "file").write_text("")
    (folder / "link").symlink_to("file")
    real = shutil.rmtree
    calls = 0

    def refused(path: Path, ignore_errors: bool = False, onerror: Callable[..., None] | None = None) -> None:
        nonlocal calls
        calls += 1
        if onerror is None:
            real(path, ignore_errors=True)
            return
        onerror(os.open, str(folder / "closed"), None)
        onerror(os.unlink, str(folder / "file"), None)
        onerror(os.unlink, str(folder / "link"), None)
        onerror(os.unlink, str(folder / "missing"), None)
        onerror(os.lstat, str(folder), None)

    monkeypatch.setattr(workspace.shutil, "rmtree", refused)
    assert remove(folder)
    assert calls == 3  # the whole, the closed folder, and what is left


def test_a_folder_that_cannot_be_removed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace.shutil, "rmtree", lambda *_, **__: None)
    assert not remove(tmp_path)


def test_a_pid_file_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = PidFile.of(os.getpid(), tmp_path / "group")
    written.write(tmp_path)
    assert PidFile.read(tmp_path) == written
    assert PidFile.of(2**22 + 1, None) == PidFile(2**22 + 1, 0, written.boot, "")
    monkeypatch.setattr(workspace, "Path", lambda name: tmp_path / "missing")
    assert workspace.boot_id() == ""


def test_a_worker_that_is_dead_before_it_is_configured_breaks_nothing() -> None:
    read, write = os.pipe()
    os.close(read)
    spawn._configure(write, b"line\n")
    os.close(write)
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(30)
        spawn.restrict(process.pid)
        spawn.restrict(2**22 + 1)
