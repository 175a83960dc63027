"""Workers that are forked: from a keeper, from a zygote that has imported the function, from an egg that waited."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.invoker.workers.conftest import Platform, alive, within
from tests.invoker.workers.test_launcher_bridge import event

from dialback_invoker.launchers import nest as nests
from dialback_invoker.launchers import zygotes
from dialback_invoker.launchers.base import LaunchFailed, LogLine, WorkerSpec
from dialback_invoker.launchers.nest import Nest
from dialback_invoker.launchers.process import ProcessLauncher
from dialback_invoker.launchers.sweep import sweep
from dialback_invoker.launchers.zygotes import Bounds
from dialback_invoker.lease import Response, WorkerDied
from dialback_invoker.pool import Pool

pytestmark = pytest.mark.skipif(not zygotes.can_fork(), reason="takes Linux")

HANDLER = """
import json, os, pathlib, random, subprocess, sys, tempfile, time
import helper
HERE = pathlib.Path(__file__).parent
PARTS = ("parts", str(HERE / "parts"))
SEEN = os.environ.get("SEEN")
print("imported")
def look():
    return {
        "pid": os.getpid(), "parent": os.getppid(), "seen": SEEN, "random": random.random(),
        "file": __file__, "helper": helper.__file__, "here": str(HERE), "parts": PARTS[1], "cwd": os.getcwd(),
        "kept": helper.Kept.path, "bound": helper.bound(), "paths": sys.path, "tmp": tempfile.gettempdir(),
        "temporary": helper.TEMPORARY, "environ": dict(os.environ), "arguments": sys.argv[1:],
        "group": os.getpgrp(), "session": os.getsid(0),
        "fds": {n: os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                if os.path.exists(f"/proc/self/fd/{n}") or os.path.islink(f"/proc/self/fd/{n}")},
    }
def handler(event, context):
    do = event["rawPath"].strip("/")
    if do == "write":
        (HERE / "note.txt").write_text("mine")
    if do == "allocate":
        held = bytearray(200 * 1024 * 1024)
        time.sleep(30)
    if do == "exit":
        os._exit(7)
    if do == "hold":
        time.sleep(30)
    if do == "detach":
        child = subprocess.Popen(["sleep", "60"], start_new_session=True)
        return {"statusCode": 200, "body": str(child.pid)}
    if do == "leave":
        first = os.fork()
        if first == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(60)
            os._exit(0)
        os.waitpid(first, 0)
    if do == "raise":
        raise ValueError("on purpose")
    print("seen", do)
    return {"statusCode": 200, "body": json.dumps({**look(), "note": (HERE / "note.txt").exists()})}
"""
HELPER = """
import tempfile
class Kept:
    path = __file__
def binding(path):
    return lambda: path
bound = binding(__file__)
TEMPORARY = tempfile.gettempdir()
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    made = tmp_path / "bundle"
    made.mkdir()
    (made / "app.py").write_text(HANDLER)
    (made / "helper.py").write_text(HELPER)
    return made


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made in advance is made at once, so that nobody waits for it."""
    monkeypatch.setattr(nests, "IMPORT_AFTER", 0.0)
    monkeypatch.setattr(nests, "EGG_AFTER", 0.0)


class Kept(Platform):
    """A platform whose workers are forked."""

    async def nest(self) -> Nest:
        """The nest, when the import in advance is over."""
        (found,) = self.launcher.zygotes.nests
        await within(found.ready.wait(), 60)
        return found

    async def settled(self, pids: int = 3) -> Nest:
        """The nest, with keeper, zygote and egg."""
        found = await self.nest()
        async with asyncio.timeout(60):
            while len(found.pids) < pids:
                await asyncio.sleep(0.01)
        return found

    async def look(self, pool: Pool, path: str = "/") -> dict[str, Any]:
        lease = await within(pool.lease(lambda _: None), 60)
        try:
            self.hand(lease, **event(path))
            answer = await within(asyncio.shield(lease.result))
        finally:
            lease.release()
        assert isinstance(answer, Response), answer
        value: dict[str, Any] = json.loads(json.loads(answer.body)["body"])
        return value

    async def again(self, pool: Pool) -> None:
        """Ends the workers that the pool has."""
        for worker in tuple(pool.workers):
            await within(worker.kill())
        async with asyncio.timeout(30):
            while pool.workers:
                await asyncio.sleep(0.01)

    def said(self, text: str) -> list[LogLine]:
        return [line for line in self.lines if text in line.line]


async def ended(pids: Iterable[int]) -> None:
    async with asyncio.timeout(30):
        while any(map(alive, pids)):
            await asyncio.sleep(0.01)


@pytest.fixture
async def make(run_dir: Path, bundle: Path) -> AsyncIterator[Callable[..., Kept]]:
    made: list[Kept] = []

    def start(most: int = 8, idle: float = 900.0, **more: Any) -> Kept:
        options = {name: more.pop(name) for name in ("use_cgroups", "command") if name in more}

        def on_log(line: LogLine) -> None:
            kept.on_log(line)

        launcher = ProcessLauncher(run_dir, bounds=Bounds(most, idle), on_log=on_log, **options)
        kept = Kept(launcher, replace(WorkerSpec("hello", "d1", bundle, "app:handler"), **more))
        made.append(kept)
        return kept

    yield start
    for each in made:
        for pool in each.pools:
            await within(pool.stop(0))
        await within(each.launcher.close())
    workers = run_dir / "workers"
    assert not workers.exists() or list(workers.iterdir()) == []


async def test_the_second_worker_has_the_function_imported_already(make: Callable[..., Kept]) -> None:
    kept = make()
    pool = kept.pool()
    first = await kept.look(pool)
    nest = await kept.settled()
    assert nest.imported == "function"
    await kept.again(pool)
    second = await kept.look(pool)
    keeper = nest.pids[0]
    assert first["parent"] == second["parent"] == keeper
    assert first["pid"] != second["pid"]
    assert len(kept.said("imported")) == 2, "once by the first worker, once by the zygote"
    assert (second["group"], second["session"]) == (second["pid"], second["pid"])
    assert second["arguments"] == ["worker"]


async def test_a_forked_worker_s_paths_are_those_of_its_own_folder(make: Callable[..., Kept], run_dir: Path) -> None:
    kept = make()
    pool = kept.pool()
    for _ in range(3):
        seen = await kept.look(pool, "/write")
        folder = run_dir / "workers" / pool.workers[0].id
        code = str(folder / "code")
        assert seen["file"] == f"{code}/app.py"
        assert seen["helper"] == seen["kept"] == seen["bound"] == f"{code}/helper.py"
        assert seen["here"] == seen["cwd"] == seen["environ"]["LAMBDA_TASK_ROOT"] == code
        assert seen["parts"] == f"{code}/parts"
        assert seen["tmp"] == seen["temporary"] == str(folder / "tmp")
        assert seen["paths"][0] == code
        names = {worker.id for worker in pool.workers}
        assert not any("/workers/" in path and not any(name in path for name in names) for path in seen["paths"])
        assert (folder / "code" / "note.txt").exists()
        await kept.settled()
        await kept.again(pool)
    assert (await kept.look(pool))["note"] is False


async def test_a_forked_worker_has_no_descriptor_but_its_own(make: Callable[..., Kept]) -> None:
    kept = make()
    pool = kept.pool()
    spawned = make(most=0)
    wanted = sorted(target.split(":")[0] for target in (await spawned.look(spawned.pool()))["fds"].values())
    for _ in range(2):
        seen = await kept.look(pool)
        assert sorted(target.split(":")[0] for target in seen["fds"].values()) == wanted
        await kept.settled()
        await kept.again(pool)


async def test_workers_of_one_zygote_draw_different_random_numbers(make: Callable[..., Kept]) -> None:
    kept = make()
    pool = kept.pool()
    drawn = set()
    for _ in range(4):
        drawn.add((await kept.look(pool))["random"])
        await kept.settled()
        await kept.again(pool)
    assert len(drawn) == 4


async def test_prints_and_tracebacks_of_a_forked_worker_are_attributed(make: Callable[..., Kept]) -> None:
    kept = make()
    pool = kept.pool()
    await kept.look(pool)
    await kept.settled()
    await kept.again(pool)
    lease = await kept.take(pool)
    name = kept.hand(lease, **event("/raise"))
    await within(asyncio.shield(lease.result))
    lease.release()
    await kept.until(lambda: kept.said("ValueError: on purpose"))
    (line,) = kept.said("ValueError: on purpose")
    assert (line.invocation, line.worker) == (name, pool.workers[0].id)
    assert any("raise ValueError" in each.line for each in kept.lines), "the line of code is found"


async def test_how_a_forked_worker_ended_is_known(make: Callable[..., Kept]) -> None:
    kept = make()
    pool = kept.pool()
    for path, number, reason in (("/exit", None, "exited with status 7"), ("/hold", 9, "was killed by SIGKILL")):
        lease = await within(pool.lease(lambda _: None), 60)
        kept.hand(lease, **event(path))
        if number is not None:
            os.kill(lease.worker.pid or 0, number)
        answer = await within(asyncio.shield(lease.result))
        lease.release()
        assert isinstance(answer, WorkerDied)
        assert (answer.signal, answer.reason) == (number, reason)
        await kept.again(pool)
        await kept.settled()


@pytest.mark.parametrize("preload", ["auto", "off"])
async def test_a_forked_worker_cannot_exceed_its_memory(make: Callable[..., Kept], preload: str) -> None:
    kept = make(memory_mb=96, preload=preload)
    pool = kept.pool()
    await kept.look(pool)
    await kept.settled(3 if preload == "auto" else 2)
    await kept.again(pool)
    lease = await within(pool.lease(lambda _: None), 60)
    kept.hand(lease, **event("/allocate"))
    answer = await within(asyncio.shield(lease.result), 60)
    lease.release()
    assert isinstance(answer, WorkerDied)
    assert answer.oom
    assert answer.reason == "was killed: it used more than its 96 MB of memory"


@pytest.mark.parametrize("use_cgroups", [False, True])
@pytest.mark.parametrize("path", ["/detach", "/leave"])
async def test_what_a_forked_worker_started_ends_with_it(
    make: Callable[..., Kept], use_cgroups: bool, path: str, run_dir: Path
) -> None:
    kept = make(use_cgroups=use_cgroups)
    pool = kept.pool()
    await kept.look(pool)
    nest = await kept.settled()
    await kept.again(pool)
    await kept.look(pool, path)
    await kept.again(pool)
    folders = [entry.name for entry in (run_dir / "workers").iterdir()]
    assert len(folders) == 1
    children = Path(f"/proc/{nest.pids[0]}/task/{nest.pids[0]}/children").read_text().split()
    assert set(map(int, children)) <= {*nest.pids, *(await kept.settled()).pids}


async def test_a_zygote_that_dies_is_told_in_the_log_and_the_next_request_is_served(
    make: Callable[..., Kept],
) -> None:
    kept = make()
    pool = kept.pool()
    before = await kept.look(pool)
    nest = await kept.settled()
    os.kill(nest.pids[1], signal.SIGKILL)
    await kept.until(lambda: kept.said("zygote was killed by SIGKILL"))
    assert (await kept.look(pool))["pid"] == before["pid"], "workers that run notice nothing"
    await kept.again(pool)
    await kept.look(pool)
    await kept.again(pool)
    await kept.look(pool)
    assert len((await kept.settled()).pids) == 3, "there is another one"


async def test_a_keeper_that_dies_is_told_in_the_log_and_the_next_request_is_served(
    make: Callable[..., Kept],
) -> None:
    kept = make()
    pool = kept.pool()
    before = await kept.look(pool)
    nest = await kept.settled()
    pids = nest.pids
    os.kill(pids[0], signal.SIGKILL)
    await kept.until(lambda: kept.said("keeper of its workers was killed by SIGKILL"))
    assert (await kept.look(pool))["pid"] == before["pid"]
    await within(nest.gone.wait())
    await ended(pids)
    await kept.again(pool)
    assert (await kept.look(pool))["parent"] not in pids


async def test_an_egg_that_dies_costs_nothing_but_time(make: Callable[..., Kept]) -> None:
    kept = make()
    pool = kept.pool()
    await kept.look(pool)
    nest = await kept.settled()
    egg = nest.pids[2]
    os.kill(egg, signal.SIGKILL)
    await kept.again(pool)
    assert (await kept.look(pool))["pid"] != egg


async def test_a_zygote_that_keeps_dying_is_given_up(
    make: Callable[..., Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nests, "MOST_DEATHS", 1)
    kept = make()
    pool = kept.pool()
    await kept.look(pool)
    nest = await kept.settled()
    os.kill(nest.pids[1], signal.SIGKILL)
    await kept.until(lambda: kept.said("and so did those before"))
    assert nest.unfit
    await kept.again(pool)
    await kept.look(pool)


UNFIT = {
    "starts a thread (Thread-": "import threading\nthreading.Timer(60, print).start()",
    "leaves a socket open": "import socket\nkept = socket.socket()",
    "leaves a pipe open": "import os\nkept = os.pipe()",
    "leaves an event loop open": "import asyncio\nloop = asyncio.new_event_loop()",
    "starts a process": "import subprocess\nchild = subprocess.Popen(['sleep', '60'])",
    "writes ../tmp/note": "import tempfile, pathlib\npathlib.Path(tempfile.gettempdir(), 'note').touch()",
    "keeps the path of its folder in the keys of a dict": "kept = {__file__: 1}",
    "keeps the path of its folder in a set": "kept = {__file__}",
    "keeps the path of its folder in bytes": "kept = __file__.encode()",
}


@pytest.mark.parametrize("why", UNFIT)
async def test_a_function_whose_import_leaves_something_behind_is_not_imported_in_advance(
    make: Callable[..., Kept], bundle: Path, why: str
) -> None:
    (bundle / "app.py").write_text(f"{UNFIT[why]}\n{HANDLER}")
    kept = make()
    pool = kept.pool()
    await kept.look(pool)
    nest = await kept.nest()
    assert (nest.unfit, nest.imported) == (True, "bridge")
    (line,) = kept.said("its workers import it themselves")
    assert why in line.line
    assert line.level == "INFO"
    await kept.again(pool)
    assert (await kept.look(pool))["parent"] == nest.pids[0], "it forks from the keeper all the same"


async def test_an_author_can_insist(make: Callable[..., Kept], bundle: Path) -> None:
    (bundle / "app.py").write_text(f"import socket\nsocket_kept = socket.socket()\nnames = {{__file__}}\n{HANDLER}")
    kept = make(preload="on")
    await kept.look(kept.pool())
    assert not (await kept.settled()).unfit


async def test_an_author_can_decline(make: Callable[..., Kept]) -> None:
    kept = make(preload="off")
    pool = kept.pool()
    await kept.look(pool)
    nest = await kept.settled(2)
    await kept.again(pool)
    seen = await kept.look(pool)
    assert seen["parent"] == nest.pids[0]
    assert len(kept.said("imported")) == 2, "by each worker"


async def test_an_import_that_takes_too_much_memory_is_not_made_in_advance(
    make: Callable[..., Kept], bundle: Path
) -> None:
    greedy = "import sys, time\nif '--keep' in sys.argv:\n    held = bytearray(200 * 1024 * 1024)\n    time.sleep(1)\n"
    (bundle / "app.py").write_text(greedy + HANDLER)
    kept = make(memory_mb=96)
    await kept.look(kept.pool())
    nest = await kept.nest()
    assert nest.unfit
    assert kept.said("in advance it takes more than its 96 MB of memory")


async def test_a_function_that_cannot_be_loaded_fails_as_it_does_without(
    make: Callable[..., Kept], bundle: Path
) -> None:
    (bundle / "app.py").write_text("import nothing_of_that_name\n")
    said = []
    for most in (8, 0):
        kept = make(most)
        with pytest.raises(LaunchFailed) as failed:
            await within(kept.pool().lease(lambda _: None), 60)
        assert [nest.imported for nest in kept.launcher.zygotes.nests] == ["bridge"] * bool(most)
        said.append((failed.value.code, re.sub("w_[0-9a-f]+", "w_", str(failed.value))))
    assert said[0] == said[1]
    assert said[0][0] == "init_error"
    assert "app.py:1: ModuleNotFoundError" in said[0][1]


async def test_secrets_reach_the_import_and_a_change_ends_the_zygote(make: Callable[..., Kept]) -> None:
    kept = make(secrets={"SEEN": "one"})
    pool = kept.pool()
    await kept.look(pool)
    nest = await kept.settled()
    await kept.again(pool)
    assert (await kept.look(pool))["seen"] == "one"
    assert all(b"one" not in Path(f"/proc/{pid}/environ").read_bytes().split(b"SEEN=")[-1][:4] for pid in nest.pids)
    pids = nest.pids
    pool.let_go()
    await pool.stop(0)
    await within(nest.gone.wait())
    await ended(pids)
    changed = kept.pool(spec={"secrets": {"SEEN": "two"}})
    await kept.look(changed)
    await kept.settled()
    await kept.again(changed)
    assert (await kept.look(changed))["seen"] == "two"


async def test_a_let_go_zygote_ends_while_its_workers_run_on(make: Callable[..., Kept]) -> None:
    kept = make()
    pool = kept.pool()
    before = await kept.look(pool)
    nest = await kept.settled()
    keeper, *others = nest.pids
    pool.let_go()
    await ended(others)
    assert alive(keeper), "who else could tell how the worker ends"
    assert (await kept.look(pool))["pid"] == before["pid"]
    await kept.again(pool)
    await within(nest.gone.wait())
    assert not alive(keeper)


async def test_it_ends_when_it_was_idle_for_long_enough(make: Callable[..., Kept]) -> None:
    kept = make(idle=0.05)
    pool = kept.pool()
    await kept.look(pool)
    await kept.again(pool)
    async with asyncio.timeout(30):
        while kept.launcher.zygotes.nests:
            await asyncio.sleep(0.01)
    await kept.look(pool)


async def test_only_so_many_functions_have_one(make: Callable[..., Kept]) -> None:
    kept = make(most=2)
    for name in ("one", "two", "three"):
        await kept.look(kept.pool(spec={"function": name, "deployment": name}))
    assert [nest.spec.function for nest in kept.launcher.zygotes.nests] == ["two", "three"]


async def test_none_is_made_where_they_are_switched_off_or_a_debugger_is_wanted(make: Callable[..., Kept]) -> None:
    for kept in (make(most=0), make(debugging={"terminal": ""}), make(command=(sys.executable, "-c", "pass"))):
        assert kept.launcher.zygotes.ways(kept.spec) == []


async def test_a_function_with_a_module_that_the_bridge_uses_begins_anew(
    make: Callable[..., Kept], bundle: Path
) -> None:
    (bundle / "uvloop.py").touch()
    kept = make(event_loop="asyncio")
    pool = kept.pool()
    await kept.look(pool)
    nest = await kept.nest()
    assert nest.unfit
    await kept.again(pool)
    command = Path(f"/proc/{(await kept.look(pool))['pid']}/cmdline").read_bytes()
    assert b"--keep" not in command


async def test_fifty_workers_leave_nothing_behind(make: Callable[..., Kept], run_dir: Path) -> None:
    kept = make()
    pool = kept.pool(max_workers=10)
    await kept.look(pool)
    nest = await kept.settled()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        leases = await asyncio.gather(*(within(pool.lease(lambda _: None), 60) for _ in range(10)))
        for lease in leases:
            lease.release()
        await kept.again(pool)
    await kept.settled()
    assert len(os.listdir("/proc/self/fd")) <= before + 4
    assert len(list((run_dir / "workers").iterdir())) == 1
    assert len(os.listdir(f"/proc/{nest.pids[0]}/fd")) < 12
    children = Path(f"/proc/{nest.pids[0]}/task/{nest.pids[0]}/children").read_text().split()
    assert set(map(int, children)) == set(nest.pids[1:])


async def test_what_a_crash_of_the_platform_leaves_is_swept(make: Callable[..., Kept], run_dir: Path) -> None:
    kept = make()
    pool = kept.pool()
    await kept.look(pool)
    nest = await kept.settled()
    pids = [*nest.pids, pool.workers[0].pid or 0]
    swept = await asyncio.to_thread(sweep, run_dir)
    assert swept.workers == 2
    assert not any(map(alive, pids))
