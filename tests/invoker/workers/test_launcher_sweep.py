"""What an invoker that was killed leaves behind, and how the next one clears it up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.invoker.workers.conftest import STANDIN, alive, within

from dialback_invoker.launchers import proc, workspace
from dialback_invoker.launchers.process import ProcessLauncher
from dialback_invoker.launchers.sweep import Swept, members, sweep

PLATFORM = """
import asyncio, json, sys
from pathlib import Path
from dialback_invoker.launchers.base import WorkerSpec
from dialback_invoker.launchers.process import ProcessLauncher
from dialback_invoker.pool import Pool

async def main(run_dir, bundle, entry, use_cgroups, *command):
    launcher = ProcessLauncher(Path(run_dir), command=command, use_cgroups=use_cgroups == "yes")
    spec = WorkerSpec("hello", "d1", Path(bundle), entry)
    pool = Pool(spec, launcher, max_workers=1, concurrency=1, idle_seconds=60, on_log=print)
    lease = await pool.lease(lambda _: None)
    lease.hand_over("i1", json.dumps({"do": "grandchild", "detached": True}).encode(), 0, {})
    answer = await lease.result
    print(json.dumps([lease.worker.pid, json.loads(answer.body)["pid"]]), flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    return folder


def crashed_platform(run_dir: Path, bundle: Path, entry: str, use_cgroups: str) -> list[int]:
    """Runs an invoker with one worker, SIGKILLs it, answers the pids of worker and grandchild."""
    command = [sys.executable, "-c", PLATFORM, str(run_dir), str(bundle), entry, use_cgroups, *STANDIN]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as platform:
        assert platform.stdout is not None
        line = platform.stdout.readline()
        platform.send_signal(signal.SIGKILL)
    pids: list[int] = json.loads(line)
    return pids


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """An innocent process, leader of its own session."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("use_cgroups", ["no", "yes"])
@pytest.mark.parametrize("entry", ["serve", "outlives"])
async def test_the_sweep_ends_what_a_killed_invoker_left(
    run_dir: Path, bundle: Path, entry: str, use_cgroups: str
) -> None:
    worker, grandchild = crashed_platform(run_dir, bundle, entry, use_cgroups)
    assert alive(grandchild)
    assert (worker_left := alive(worker)) or entry == "serve"
    launcher = ProcessLauncher(run_dir)
    swept = await within(launcher.sweep())
    assert swept.workers == 1
    assert swept.processes >= 1 + (worker_left and entry == "outlives")
    assert not alive(worker)
    assert not alive(grandchild)
    assert list((run_dir / "workers").iterdir()) == []
    assert await within(launcher.sweep()) == Swept(0, 0)
    home = launcher._home
    await launcher.close()
    assert home is None or not home.folder.exists()


def test_a_pid_that_was_used_again_is_not_hit(run_dir: Path, sleeper: subprocess.Popen[bytes]) -> None:
    folder = run_dir / "workers" / "w_old"
    workspace.make(folder)
    true = workspace.PidFile.of(sleeper.pid, None)
    workspace.PidFile(true.pid, true.start - 1, true.boot, "").write(folder)
    assert sweep(run_dir) == Swept(1, 0)
    assert alive(sleeper.pid)


def test_a_pid_file_of_an_earlier_boot_is_not_believed(run_dir: Path, sleeper: subprocess.Popen[bytes]) -> None:
    folder = run_dir / "workers" / "w_old"
    workspace.make(folder)
    true = workspace.PidFile.of(sleeper.pid, None)
    workspace.PidFile(true.pid, true.start, "another boot", "").write(folder)
    assert sweep(run_dir) == Swept(1, 0)
    assert alive(sleeper.pid)


def test_a_recorded_leader_is_killed(run_dir: Path, sleeper: subprocess.Popen[bytes]) -> None:
    folder = run_dir / "workers" / "w_old"
    workspace.make(folder)
    workspace.PidFile.of(sleeper.pid, None).write(folder)
    assert sweep(run_dir) == Swept(1, 1)
    assert not alive(sleeper.pid)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": "x"}', "\x00"])
def test_a_broken_pid_file_hits_nobody(run_dir: Path, text: str) -> None:
    folder = run_dir / "workers" / "w_old"
    workspace.make(folder)
    (folder / "pid").write_text(text)
    assert sweep(run_dir) == Swept(1, 0)


def test_a_cgroup_that_cannot_be_ours_is_not_touched(run_dir: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "system.slice" / "important"
    foreign.mkdir(parents=True)
    (foreign / "cgroup.procs").write_text(f"{os.getpid()}\n")
    assert members(str(foreign)) == []
    folder = run_dir / "workers" / "w_old"
    workspace.make(folder)
    workspace.PidFile(999999, 1, workspace.boot_id(), str(foreign)).write(folder)
    sweep(run_dir)
    assert foreign.exists()


def test_a_run_folder_that_is_not_there_needs_no_sweep(tmp_path: Path) -> None:
    assert sweep(tmp_path / "none") == Swept(0, 0)


def test_a_signal_goes_to_the_process_that_was_meant(sleeper: subprocess.Popen[bytes]) -> None:
    seen = proc.look(sleeper.pid)
    assert seen is not None
    other = proc.Process(seen.pid, seen.state, seen.parent, 0, 0, seen.start + 1)
    assert proc.kill_all(lambda: [other], rounds=1) == 0
    assert alive(sleeper.pid)
    gone = proc.Process(2**22 + 1, "S", 1, 0, 0, 1)
    assert proc.kill_all(lambda: [gone], rounds=1) == 0


def test_who_escapes_every_look_is_hit_with_its_group(sleeper: subprocess.Popen[bytes]) -> None:
    seen = proc.look(sleeper.pid)
    assert seen is not None
    gone = proc.Process(2**22 + 1, "S", 1, seen.group, seen.session, 1)  # it has become another by the time we strike
    assert proc.kill_all(lambda: [gone], rounds=1) == 0
    assert sleeper.wait(30) == -signal.SIGKILL


def test_without_pidfds_the_start_time_is_looked_at(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    seen = proc.look(sleeper.pid)
    assert seen is not None
    other = proc.Process(seen.pid, seen.state, seen.parent, 0, 0, seen.start + 1)
    assert proc.kill_all(lambda: [other], rounds=1) == 0
    assert proc.kill_all(lambda: [seen], rounds=1) == 1
    sleeper.wait(30)


def test_memory_of_processes_that_are_gone_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert proc.resident(2**22 + 1) == 0
    assert proc.proportional(2**22 + 1) == 0
    assert 0 < proc.proportional(os.getpid()) <= proc.resident(os.getpid()) * 2
    monkeypatch.setattr(proc, "PROC", tmp_path / "no-proc")
    assert proc.everyone() == []
