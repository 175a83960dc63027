"""Which cgroup is ours, and what is written to it. Memory controllers are played by folders, tracking is real."""

from __future__ import annotations

import os
import select
import subprocess
from pathlib import Path

import pytest
from tests.invoker.workers.conftest import STANDIN, alive

from dialback_invoker.launchers import cgroup
from dialback_invoker.launchers.cgroup import Base, Group, find_base, find_home, parse_mounts, parse_own
from dialback_invoker.launchers.process import ProcessLauncher


class Machine:
    """Files that look like a machine's cgroups to whoever reads them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.own = root / "self.cgroup"
        self.mountinfo = root / "mountinfo"

    def describe(self, v2: str | None, v1: str | None) -> None:
        own = [] if v1 is None else [f"4:memory:{v1}", "3:cpu,cpuacct:/"]
        mounts = ["25 1 0:22 / /proc rw - proc proc rw"]
        if v1 is not None:
            mounts.append(f"30 25 0:26 / {self.root}/v1 rw - cgroup cgroup rw,memory")
            mounts.append(f"31 25 0:27 / {self.root}/cpu rw - cgroup cgroup rw,cpu,cpuacct")
        if v2 is not None:
            own.append(f"0::{v2}")
            mounts.append(f"40 25 0:36 / {self.root}/v2 rw - cgroup2 cgroup2 rw")
        self.own.write_text("\n".join(own) + "\n")
        self.mountinfo.write_text("\n".join(mounts) + "\n")

    def folder(self, path: str, **files: str) -> Path:
        folder = self.root / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.procs").touch()
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(text)
        return folder

    def find(self, named: Path | None = None) -> Base | None:
        return find_base(named, self.own, self.mountinfo)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_root_that_we_see_is_ours(machine: Machine) -> None:
    machine.describe(v2="/", v1=None)
    folder = machine.folder("v2", cgroup__controllers="cpu memory\n", cgroup__subtree_control="memory\n")
    assert machine.find() == Base(folder, 2, True)


def test_memory_is_turned_on_for_children_where_that_works(machine: Machine) -> None:
    machine.describe(v2="/", v1=None)
    folder = machine.folder("v2", cgroup__controllers="memory\n", cgroup__subtree_control="")
    assert machine.find() == Base(folder, 2, True)
    assert (folder / "cgroup.subtree_control").read_text() == "+memory"


def test_a_group_without_the_controller_only_tracks(machine: Machine) -> None:
    machine.describe(v2="/", v1=None)
    folder = machine.folder("v2", cgroup__controllers="cpu\n", cgroup__subtree_control="")
    assert machine.find() == Base(folder, 2, False)
    (folder / "cgroup.controllers").unlink()
    assert machine.find() == Base(folder, 2, False)


def test_a_group_that_another_manager_runs_is_left_alone(machine: Machine) -> None:
    machine.describe(v2="/user.slice/session-1.scope", v1="/some/service")
    machine.folder("v2/user.slice/session-1.scope", cgroup__controllers="memory", cgroup__subtree_control="memory")
    machine.folder("v1/some/service", memory__limit_in_bytes="0")
    assert machine.find() is None


def test_a_group_with_the_mark_of_delegation_is_ours(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.describe(v2="/system.slice/dialback.service", v1=None)
    folder = machine.folder(
        "v2/system.slice/dialback.service", cgroup__controllers="memory", cgroup__subtree_control="memory"
    )
    marks = {"user.delegate": b"1"}

    def getxattr(path: Path, name: str) -> bytes:
        if name not in marks:
            raise OSError(61, "No data available")
        return marks[name]

    monkeypatch.setattr(os, "getxattr", getxattr)
    assert machine.find() == Base(folder, 2, True)
    marks["user.delegate"] = b"0"
    assert machine.find() is None


def test_a_group_with_memory_comes_before_one_that_tracks(machine: Machine) -> None:
    machine.describe(v2="/", v1="/")
    machine.folder("v2", cgroup__controllers="")
    folder = machine.folder("v1", memory__limit_in_bytes="0")
    assert machine.find() == Base(folder, 1, True)


def test_a_named_group_is_taken_as_it_is(machine: Machine) -> None:
    v1 = machine.folder("named1", memory__limit_in_bytes="0")
    v2 = machine.folder("named2")
    assert machine.find(v1) == Base(v1, 1, True)
    assert machine.find(v2) == Base(v2, 2, False)
    assert machine.find(machine.root / "missing") is None


def test_a_machine_without_cgroups_has_none(machine: Machine) -> None:
    assert machine.find() is None
    machine.own.write_text("0::/\n")
    machine.mountinfo.write_text("25 1 0:22 / /proc rw - proc proc rw\n")
    assert machine.find() is None
    machine.own.write_text("garbage\n")
    assert machine.find() is None


def test_what_the_kernel_writes_is_understood() -> None:
    assert parse_own("4:memory:/a\n2:cpu,cpuacct:/b\n0::/c:d\n") == {
        "memory": "/a",
        "cpu": "/b",
        "cpuacct": "/b",
        "": "/c:d",
    }
    line = r"30 25 0:26 / /sys/fs/c\040group rw shared:9 - cgroup2 cgroup2 rw"
    assert parse_mounts(line) == {"": Path("/sys/fs/c group")}


def test_a_v2_worker_gets_its_limit_without_swap_and_dies_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = record_writes(monkeypatch)
    Group(tmp_path / "w_1", Base(tmp_path, 2, True)).create(64 << 20)
    assert written == {
        "cgroup.subtree_control": "+memory",
        "memory.max": str(64 << 20),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
    }


def test_a_v1_worker_gets_its_limit_without_swap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = record_writes(monkeypatch)
    group = Group(tmp_path / "w_1", Base(tmp_path, 1, True))
    group.create(64 << 20)
    group.add(17)
    assert written == {
        "memory.limit_in_bytes": str(64 << 20),
        "memory.memsw.limit_in_bytes": str(64 << 20),
        "cgroup.procs": "17",
    }


def record_writes(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    written: dict[str, str] = {}
    monkeypatch.setattr(cgroup, "_write", lambda path, text: written.__setitem__(path.name, text))
    return written


@pytest.mark.parametrize(
    ("version", "name", "text", "kills"),
    [
        (2, "memory.events", "low 0\nhigh 0\nmax 9\noom 1\noom_kill 2\noom_group_kill 0\n", 2),
        (1, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", 1),
        (1, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n", 0),
        (2, "other", "", 0),
    ],
)
def test_kills_for_want_of_memory_are_counted(tmp_path: Path, version: int, name: str, text: str, kills: int) -> None:
    (tmp_path / name).write_text(text)
    assert Group(tmp_path, Base(tmp_path, version, True)).oom_kills() == kills


def test_a_home_that_cannot_be_made_is_none(tmp_path: Path) -> None:
    assert find_home(Base(tmp_path / "missing", 2, True), "x") is None
    assert find_home(Base(tmp_path, 2, True), "x") is None  # no subtree_control in it
    assert find_home(Base(tmp_path, 1, True), "y") == Base(tmp_path / "dialback-y", 1, True)
    assert list(tmp_path.iterdir()) == []


def test_a_home_is_there_only_while_a_worker_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Base(tmp_path / "dialback-x", 2, False)
    group = Group(home.folder / "w_1", home)
    group.create(1)
    assert group.folder.is_dir()
    assert group.remove()
    assert not home.folder.exists()
    monkeypatch.setattr(cgroup, "_prepare_home", lambda home: None)  # removed by another in between, again and again
    with pytest.raises(FileNotFoundError):
        group.create(1)


def test_homes_in_which_nobody_lives_are_swept(tmp_path: Path) -> None:
    (tmp_path / "dialback-empty").mkdir()
    for name in ("new", "inhabited"):
        (tmp_path / "dialback-full" / name).mkdir(parents=True)
    (tmp_path / "dialback-full" / "inhabited" / "cgroup.procs").touch()  # as the kernel refuses, so does a file
    (tmp_path / "dialback-old" / "w_1").mkdir(parents=True)
    for old in (tmp_path / "dialback-old" / "w_1", tmp_path / "dialback-full" / "inhabited"):
        os.utime(old, (1, 1))
    (tmp_path / "other").mkdir()
    cgroup.sweep_homes(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dialback-full", "other"]
    assert sorted(path.name for path in (tmp_path / "dialback-full").iterdir()) == ["inhabited", "new"]


def test_a_group_that_is_gone_holds_nobody(tmp_path: Path) -> None:
    group = Group(tmp_path / "gone", Base(tmp_path, 2, True))
    assert group.pids() == []
    group.kill()
    assert group.remove()


async def test_the_launcher_says_what_holds_the_limit(run_dir: Path, machine: Machine) -> None:
    held = ProcessLauncher(run_dir, cgroup_root=machine.folder("v1", memory__limit_in_bytes="0"))
    assert (held.memory_enforcement, held.tracking) == ("cgroup", "cgroup")
    await held.close()
    watched = ProcessLauncher(run_dir, use_cgroups=False)
    assert (watched.memory_enforcement, watched.tracking) == ("watch", "proc")
    await watched.close()


async def test_a_real_group_knows_those_who_left_and_loses_them(run_dir: Path) -> None:
    launcher = ProcessLauncher(run_dir, command=STANDIN)
    home = launcher._home
    if home is None or home.memory:
        pytest.skip("this machine lets us make no cgroup")
    group = Group(home.folder / "w_1", home)
    group.create(64 << 20)
    held = Group(group.folder / "inner", home)
    held.create(64 << 20)
    # waits to be moved, then its child leaves group, session, parent and environment behind
    script = "read _; setsid env -i sh -c 'echo $$; exec sleep 60' </dev/null & "
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        group.add(process.pid)
        process.stdin.write("go\n")
        process.stdin.flush()
        lost = int(process.stdout.readline())
    assert lost in group.pids()
    assert not group.remove()
    handle = os.pidfd_open(lost)
    group.kill()
    assert select.select([handle], [], [], 5)[0]
    os.close(handle)
    assert not alive(lost)
    await launcher.close()
    assert not home.folder.exists()
