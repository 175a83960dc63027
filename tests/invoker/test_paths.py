"""Where things lie on disk, and one invoker per data folder."""

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dialback_invoker.errors import DataFolderBusy, DiskFull, PathProblem
from dialback_invoker.lock import DataFolderLock
from dialback_invoker.paths import DataFolder, RunFolder, data_folder, from_os_error, run_folder


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_data_folder_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data_folder(environ={"XDG_DATA_HOME": str(tmp_path)}).root == tmp_path / "dialback"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder(environ={"XDG_DATA_HOME": "relative"}).root == tmp_path / ".local/share/dialback"
    assert data_folder(Path("~/mine"), environ={}).root == tmp_path / "mine"


def test_the_data_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    data = DataFolder(tmp_path / "a" / "data")
    data.root.mkdir(parents=True, mode=0o755)
    data.create()
    data.create()
    assert (mode(data.root), mode(data.bundles)) == (0o700, 0o700)
    inside = [data.database, data.lock, data.control_token, data.link_key, data.bundle("ab")]
    assert [path.relative_to(data.root).as_posix() for path in inside] == [
        "dialback.db", "lock", "control.token", "link.key", "bundles/ab",
    ]  # fmt: skip


def test_each_data_folder_has_one_run_folder(tmp_path: Path) -> None:
    first, second = DataFolder(Path("/data/one")), DataFolder(Path("/data/two"))
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert run_folder(first, environ) == run_folder(first, environ) != run_folder(second, environ)
    assert run_folder(first, environ).root.parent == tmp_path
    fallback = run_folder(first, {"XDG_RUNTIME_DIR": str(tmp_path / "missing")})
    assert str(fallback.root).startswith(f"/tmp/dialback-{os.getuid()}-")


def test_the_run_folder_comes_and_goes() -> None:
    run = RunFolder(Path(tempfile.gettempdir()) / f"dialback-test-{os.getpid()}")
    run.create()
    try:
        assert (mode(run.root), mode(run.workers)) == (0o700, 0o700)
        assert run.worker("w_1") == run.workers / "w_1"
        assert run.link_socket.parent == run.receiver_socket.parent == run.root
    finally:
        run.remove()
    assert not run.root.exists()
    run.remove()


def test_a_run_folder_too_long_for_sockets_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(PathProblem, match="set XDG_RUNTIME_DIR to a shorter folder") as caught:
        RunFolder(tmp_path / ("x" * 90)).create()
    assert caught.value.code == "path_too_long"


def test_a_folder_that_is_a_link_a_file_or_anothers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").write_text("")
    with pytest.raises(PathProblem, match="but a link"):
        DataFolder(tmp_path / "link").create()
    with pytest.raises(PathProblem, match="is not a folder"):
        DataFolder(tmp_path / "file").create()
    with pytest.raises(PathProblem, match="cannot be used: Not a directory"):
        DataFolder(tmp_path / "file" / "below").create()
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    with pytest.raises(PathProblem, match="belongs to another user"):
        DataFolder(tmp_path / "real").create()


def test_a_full_disk_is_told_from_other_troubles() -> None:
    assert isinstance(from_os_error(OSError(errno.ENOSPC, "x"), "y"), DiskFull)
    assert isinstance(from_os_error(OSError(errno.EDQUOT, "x"), "y"), DiskFull)
    assert from_os_error(OSError(errno.EIO, "broken"), "cannot").message == "cannot: broken"


def test_the_second_invoker_is_told_who_holds_the_data_folder(tmp_path: Path) -> None:
    with DataFolderLock(tmp_path / "lock") as lock:
        with pytest.raises(DataFolderBusy, match=rf"in use by the process {os.getpid()}; .*--data-dir"):
            DataFolderLock(tmp_path / "lock")
        lock.release()
        DataFolderLock(tmp_path / "lock").release()
    lock.release()


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, pathlib; from dialback_invoker.lock import DataFolderLock\n"
        "held = DataFolderLock(pathlib.Path(sys.argv[1])); print('held', flush=True); signal.pause()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "lock")], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(DataFolderBusy, match=str(holder.pid)):
            DataFolderLock(tmp_path / "lock")
    finally:
        holder.kill()
        holder.wait()
        assert holder.stdout is not None
        holder.stdout.close()
    DataFolderLock(tmp_path / "lock").release()


def test_a_lock_that_cannot_be_made_is_a_path_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(PathProblem, match="cannot be opened"):
        DataFolderLock(tmp_path / "link")

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(PathProblem, match="No locks available"):
        DataFolderLock(tmp_path / "lock")


def test_a_full_disk_does_not_keep_the_lock_from_being_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with DataFolderLock(tmp_path / "lock"), pytest.raises(DataFolderBusy, match=r"is in use; stop it"):
        DataFolderLock(tmp_path / "lock")
