"""The process launcher with real processes: what a worker gets, how its end is seen, what is left of it."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.invoker.workers.conftest import STANDIN, Platform, alive, descriptors, within

from dialback_invoker.launchers import proc, process_worker
from dialback_invoker.launchers.base import AllowedUrl, LaunchFailed, WorkerControl, WorkerSpec
from dialback_invoker.launchers.process import ProcessLauncher
from dialback_invoker.lease import WorkerDied
from dialback_invoker.platform_variables import set_by_platform

Control = Callable[..., WorkerControl]


async def test_a_worker_gets_its_own_environment_and_nothing_of_ours(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, run_dir: Path
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy")
    env = {"GREETING": "hello", "TZ": "Europe/Vienna", "AWS_REGION": "eu-west-1", "DIALBACK_X": "no", "HOME": "no"}
    pool = platform.pool(spec={"env": env, "memory_mb": 100, "allow": (AllowedUrl("unix", path="/r.sock"),)})
    seen = await platform.call(pool, do="look")
    worker = pool.workers[0]
    folder = run_dir / "workers" / worker.id
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert seen["env"].pop("PATH").split(":")[-1] == "/bin"
    assert seen["env"].pop("LC_CTYPE", "C.UTF-8") == "C.UTF-8"  # Python's own doing
    assert seen["env"] == {
        "GREETING": "hello",
        "TZ": "Europe/Vienna",
        "AWS_REGION": "eu-west-1",
        "LANG": "C.UTF-8",
        "HOME": str(folder / "tmp"),
        "TMPDIR": str(folder / "tmp"),
        "LAMBDA_TASK_ROOT": str(folder / "code"),
        "_HANDLER": "serve",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{version}",
        "AWS_LAMBDA_FUNCTION_NAME": "hello",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "100",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/hello",
        "AWS_LAMBDA_LOG_STREAM_NAME": worker.id,
    }
    assert seen["config"]["allow"] == [{"scheme": "unix", "host": "", "port": 0, "path": "/r.sock"}]
    assert seen["config"]["worker"] == worker.id
    assert seen["config"]["memory_mb"] == 100


async def test_every_variable_that_a_worker_gets_can_be_set_in_env_or_is_refused_there(
    platform: Platform, run_dir: Path
) -> None:
    seen = await platform.call(platform.pool(), do="look")
    given = set(seen["env"]) - {"LC_CTYPE"}
    assert {name for name in given if not set_by_platform(name)} == {"PATH", "TZ", "LANG"}


async def test_a_worker_works_on_its_own_copy_in_its_own_session(platform: Platform, run_dir: Path) -> None:
    pool = platform.pool()
    seen = await platform.call(pool, do="look")
    folder = run_dir / "workers" / pool.workers[0].id
    assert seen["cwd"] == str(folder / "code")
    assert seen["files"] == ["app.py", "package"]
    assert os.access(folder / "code" / "package", os.W_OK)
    assert seen["group"] == seen["session"] == seen["pid"] == pool.workers[0].pid
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "runtime.sock").stat().st_mode & 0o777 == 0o600
    assert pool.workers[0].rss() > 1_000_000


async def test_no_descriptor_of_ours_reaches_a_worker(platform: Platform, tmp_path: Path) -> None:
    with (tmp_path / "held").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        seen = await platform.call(platform.pool(), do="look")
    kinds = {int(number): target.split(":")[0] for number, target in seen["fds"].items()}
    assert kinds.pop(0) == "/dev/null"
    assert {kinds.pop(1), kinds.pop(2), kinds.pop(seen["control"]), kinds.pop(seen["log"])} == {"pipe"}
    assert set(kinds.values()) <= {"socket"}  # its own, to the runtime API


@pytest.mark.parametrize("detached", [False, True])
async def test_a_kill_ends_grandchildren_also_those_that_left(platform: Platform, detached: bool) -> None:
    pool = platform.pool()
    grandchild = (await platform.call(pool, do="grandchild", detached=detached))["pid"]
    worker = pool.workers[0]
    assert alive(grandchild)
    await within(worker.kill())
    assert not alive(grandchild)
    assert not alive(worker.pid or 0)


@pytest.mark.parametrize("use_cgroups", [False, True])
async def test_a_worker_that_dies_takes_its_grandchildren_along(
    run_dir: Path, spec: WorkerSpec, use_cgroups: bool
) -> None:
    launcher = ProcessLauncher(run_dir, command=STANDIN, use_cgroups=use_cgroups)
    platform = Platform(launcher, spec)
    pool = platform.pool()
    pids = [(await platform.call(pool, do="grandchild", detached=detached))["pid"] for detached in (False, True)]
    worker = pool.workers[0]
    os.kill(worker.pid or 0, signal.SIGKILL)
    await within(worker.gone())
    assert not any(map(alive, pids))
    await within(pool.stop(0))
    await launcher.close()


async def test_a_process_that_keeps_forking_away_is_caught_by_its_cgroup(platform: Platform, run_dir: Path) -> None:
    if platform.launcher.tracking != "cgroup":
        pytest.skip("without a cgroup such a process is caught only with luck")
    pool = platform.pool()
    await platform.call(pool, do="run")
    worker = pool.workers[0]
    await within(worker.kill(), 5)
    assert [proc.marked(run_dir) for _ in range(20)] == [[]] * 20


async def test_a_killed_worker_is_noticed_within_a_tenth_of_a_second(platform: Platform) -> None:
    took = []
    for _ in range(5):
        pool = platform.pool()
        await platform.call(pool)
        lease = await pool.lease(lambda _: None)
        platform.hand(lease, do="hold")
        pid = lease.worker.pid or 0
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        answer = await within(asyncio.shield(lease.result))
        took.append(time.monotonic() - killed)
        assert isinstance(answer, WorkerDied)
        assert (answer.signal, answer.code, answer.oom, answer.reason) == (9, None, False, "was killed by SIGKILL")
        lease.release()
    assert statistics.median(took) < 0.1, "once or twice the machine may have something else to do"


async def test_last_words_and_status_of_a_worker_that_exits(platform: Platform) -> None:
    pool = platform.pool()
    lease = await within(pool.lease(lambda _: None))
    answer = await platform.ask(lease, do="exit", code=7)
    lease.release()
    assert answer == WorkerDied("exited with status 7", 7, None, False, "these are my last words")
    assert [line.line for line in platform.lines if line.stream == "stderr"] == ["these are my last words"]


@pytest.mark.parametrize("missing", [("pidfd_open",), ("pidfd_open", "waitid")])
async def test_without_a_pidfd_a_thread_notices(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]
) -> None:
    for name in missing:
        monkeypatch.delattr(os, name)
    pool = platform.pool()
    grandchild = (await platform.call(pool, do="grandchild", detached=True))["pid"]
    worker = pool.workers[0]
    os.kill(worker.pid or 0, signal.SIGKILL)
    await within(worker.gone())
    assert not alive(grandchild)


@pytest.mark.parametrize("use_cgroups", [False, True])
async def test_a_memory_bomb_is_killed_and_the_reason_told(run_dir: Path, spec: WorkerSpec, use_cgroups: bool) -> None:
    launcher = ProcessLauncher(run_dir, command=STANDIN, use_cgroups=use_cgroups)
    platform = Platform(launcher, spec)
    pool = platform.pool(spec={"memory_mb": 64})
    lease = await within(pool.lease(lambda _: None))
    answer = await platform.ask(lease, do="eat", megabytes=2000)
    lease.release()
    assert isinstance(answer, WorkerDied)
    assert answer.oom
    assert answer.reason == "was killed: it used more than its 64 MB of memory"
    assert launcher.memory_enforcement in ("cgroup", "watch")
    assert launcher.tracking in (("cgroup", "proc") if use_cgroups else ("proc",))
    await within(pool.stop(0))
    await launcher.close()


async def test_a_stubborn_worker_gets_sigkill_after_the_grace(
    launcher: ProcessLauncher, run_dir: Path, spec: WorkerSpec, control: Control
) -> None:
    await launcher.prepare("w_1")
    worker = await launcher.launch(replace(spec, entry="hang"), control())
    await within(worker.terminate(5))
    assert worker.exited.result().signal == signal.SIGTERM
    assert worker.exited.result().reason == "stopped by the platform"
    await within(worker.dispose())
    await worker.terminate(5)
    await worker.kill()
    assert worker.rss() == 0
    assert not worker.folder.exists()


async def test_a_bundle_that_is_not_there_fails_the_launch(platform: Platform, tmp_path: Path) -> None:
    pool = platform.pool(spec={"bundle": tmp_path / "missing"})
    with pytest.raises(LaunchFailed, match="cannot start a worker of hello: No such file"):
        await within(pool.lease(lambda _: None))


async def test_a_command_that_is_not_there_fails_the_launch_and_leaves_nothing(run_dir: Path, spec: WorkerSpec) -> None:
    launcher = ProcessLauncher(run_dir, command=("/nowhere/python",))
    platform = Platform(launcher, spec)
    open_before = []
    for _ in range(3):  # the loop itself opens descriptors at its first use
        pool = platform.pool()
        with pytest.raises(LaunchFailed, match="/nowhere/python"):
            await within(pool.lease(lambda _: None))
        await within(pool.stop(0))
        open_before.append(descriptors())
    assert open_before[1] == open_before[2]
    assert list((run_dir / "workers").iterdir()) == []
    await launcher.close()


async def test_a_failure_after_the_start_ends_the_process(
    launcher: ProcessLauncher, spec: WorkerSpec, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    await launcher.prepare("w_1")
    monkeypatch.setattr("dialback_invoker.launchers.spawn.workspace.PidFile.write", full)
    before = descriptors()
    with pytest.raises(LaunchFailed, match="No space left"):
        await launcher.launch(spec, control())
    assert descriptors() == before
    await launcher.discard("w_1")


async def test_a_run_folder_that_cannot_be_written_is_a_clear_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    launcher = ProcessLauncher(tmp_path / "file")
    with pytest.raises(LaunchFailed, match="cannot make the worker's folder"):
        await launcher.prepare("w_1")
    await launcher.close()


async def test_a_launch_that_is_cancelled_leaves_nothing(
    launcher: ProcessLauncher, spec: WorkerSpec, control: Control, monkeypatch: pytest.MonkeyPatch, run_dir: Path
) -> None:
    loop = asyncio.get_running_loop()
    copying, go_on = asyncio.Event(), threading.Event()
    from dialback_invoker.launchers import spawn

    real = spawn.workspace.copy_code

    def slow(bundle: Path, folder: Path) -> Path:
        loop.call_soon_threadsafe(copying.set)
        go_on.wait(30)
        return real(bundle, folder)

    warm = await launcher.launch(spec, control()) if await launcher.prepare("w_1") else None
    assert warm is not None
    await warm.kill()
    await warm.dispose()
    monkeypatch.setattr(spawn.workspace, "copy_code", slow)
    await launcher.prepare("w_1")
    before = descriptors()
    task = asyncio.create_task(launcher.launch(spec, control()))
    await within(copying.wait())
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await within(task)
    assert descriptors() == before
    assert list((run_dir / "workers").iterdir()) == []


async def test_a_cancelled_launch_that_fails_by_itself_stays_cancelled(
    launcher: ProcessLauncher, spec: WorkerSpec, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    copying, go_on = asyncio.Event(), threading.Event()

    def fails(*_: object) -> Path:
        loop.call_soon_threadsafe(copying.set)
        go_on.wait(30)
        raise OSError("broken")

    monkeypatch.setattr("dialback_invoker.launchers.spawn.workspace.copy_code", fails)
    task = asyncio.create_task(launcher.launch(spec, control()))
    await within(copying.wait())
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await within(task)


async def test_a_folder_made_unreadable_is_removed_all_the_same(platform: Platform, run_dir: Path) -> None:
    pool = platform.pool()
    await platform.call(pool, do="write")
    worker = pool.workers[0]
    await within(worker.kill())
    assert not (run_dir / "workers" / worker.id).exists()


async def test_a_hundred_killed_workers_leave_nothing(platform: Platform, run_dir: Path) -> None:
    pool = platform.pool(max_workers=10)
    await platform.call(pool)
    await within(pool.workers[0].kill())
    await platform.until(lambda: not pool.workers)
    descriptors_before, tasks_before = descriptors(), len(asyncio.all_tasks())
    pids = []
    for _ in range(10):
        leases = await within(asyncio.gather(*(pool.lease(lambda _: None) for _ in range(10))))
        for lease in leases:
            platform.hand(lease, do="hold")
            pids.append(lease.worker.pid or 0)
            os.kill(pids[-1], signal.SIGKILL)
        answers = await within(asyncio.gather(*(lease.result for lease in leases)))
        assert all(isinstance(answer, WorkerDied) for answer in answers)
        for lease in leases:
            lease.release()
    await within(asyncio.gather(*(worker.gone() for worker in pool.workers)))
    await platform.until(lambda: not pool.workers)
    assert len(set(pids)) == 100
    assert not any(map(alive, pids))
    assert list((run_dir / "workers").iterdir()) == []
    assert descriptors() == descriptors_before
    assert len(asyncio.all_tasks()) == tasks_before
    home = platform.launcher._home
    assert home is None or not home.folder.exists()


def test_the_time_for_last_words_keeps_a_death_below_fifty_milliseconds() -> None:
    assert process_worker.LAST_WORDS < 0.05
