"""Deploying: from a bundle to the active version, and every failure leaves the version that runs as it was."""

import asyncio
import errno
import io
import os
import signal
import sys
import tarfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dialback_invoker.deploy import bundle as bundles
from dialback_invoker.deploy.deployer import Deployer
from dialback_invoker.deploy.inspect import BridgeInspector, Inspected
from dialback_invoker.deployment import Deployment
from dialback_invoker.environments.bridge_kit import bridge_folder
from dialback_invoker.errors import (
    ConfigError,
    Conflict,
    DialbackError,
    DiskFull,
    EntryError,
    InspectTimeout,
    InvalidInput,
    LaunchFailed,
    NotFound,
    StoreFailure,
)
from dialback_invoker.function_config import FunctionConfig
from dialback_invoker.launchers.base import WorkerPython
from dialback_invoker.paths import DataFolder
from dialback_invoker.registry import Registry
from dialback_invoker.secrets.book import NOTHING, Surroundings
from dialback_invoker.store.sqlite import SqliteStore

APP = b"async def app(scope, receive, send): ...\n"


class FakeInspector:
    """Answers at once, or as told; remembers the folders that it saw."""

    def __init__(self) -> None:
        self.seen: list[Path] = []
        self.error: DialbackError | None = None
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()

    async def inspect(
        self,
        folder: Path,
        config: FunctionConfig,
        python: WorkerPython | None = None,
        surroundings: Surroundings = NOTHING,
    ) -> Inspected:
        self.seen.append(folder)
        (folder / "written-by-the-function").write_text("x")
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return Inspected("asgi", config.entry or "app:app")


class Place:
    """A data folder with a store, a registry and a deployer."""

    def __init__(self, root: Path, store: SqliteStore) -> None:
        self.data = DataFolder(root)
        self.store = store
        self.registry = Registry()
        self.inspector = FakeInspector()
        self.deployer = Deployer(
            data=self.data, store=store, registry=self.registry, inspector=self.inspector, clock=lambda: 5.0
        )

    def bundle(self, **files: bytes) -> Path:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name.replace("__", "."))
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        path = self.data.root / "upload"
        path.write_bytes(out.getvalue())
        return path

    def on_disk(self) -> list[str]:
        return sorted(path.name for path in self.data.bundles.iterdir())


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    data = DataFolder(tmp_path)
    data.create()
    store = await SqliteStore.open(data.database)
    made = Place(tmp_path, store)
    yield made
    await made.deployer.close()
    await store.close()


async def test_a_bundle_becomes_the_active_version(place: Place) -> None:
    deployed = await place.deployer.deploy("chat", place.bundle(app__py=APP))
    made = deployed.deployment
    assert not deployed.unchanged
    assert (made.function, made.kind, made.entry, made.created_at, made.concurrency) == (
        "chat",
        "asgi",
        "app:app",
        5,
        100,
    )
    assert made.id.startswith("d_")
    assert len(made.id) == 14
    assert place.registry.resolve("CHAT") is made
    assert await place.store.active_deployments() == [made]
    assert place.on_disk() == [made.bundle]
    assert [path.name for path in place.data.bundle(made.bundle).iterdir()] == ["app.py"]


async def test_the_name_may_come_from_the_file_and_the_given_one_wins(place: Place) -> None:
    upload = place.bundle(app__py=APP, dialback__toml=b'name = "mine"\nentry = "app:app"\n')
    assert (await place.deployer.deploy(None, upload)).deployment.function == "mine"
    assert (await place.deployer.deploy("yours", upload)).deployment.function == "yours"
    with pytest.raises(InvalidInput, match="has no name"):
        await place.deployer.deploy(None, place.bundle(app__py=APP))
    with pytest.raises(InvalidInput, match="starts with a dash"):
        await place.deployer.deploy("-v", upload)


async def test_the_same_content_again_is_unchanged(place: Place) -> None:
    first = await place.deployer.deploy("chat", place.bundle(app__py=APP))
    again = await place.deployer.deploy("chat", place.bundle(app__py=APP))
    assert again.unchanged
    assert again.deployment is first.deployment
    assert len(place.inspector.seen) == 1
    changed = await place.deployer.deploy("chat", place.bundle(app__py=APP, dialback__toml=b"max_workers = 2"))
    assert not changed.unchanged
    back = await place.deployer.deploy("chat", place.bundle(app__py=APP))
    assert not back.unchanged
    assert back.deployment.id != first.deployment.id
    assert back.deployment.bundle == first.deployment.bundle


async def test_names_that_differ_in_case_only_are_a_conflict(place: Place) -> None:
    await place.deployer.deploy("chat", place.bundle(app__py=APP))
    with pytest.raises(Conflict, match="unique ignoring case"):
        await place.deployer.deploy("Chat", place.bundle(app__py=APP + b"#"))


async def test_every_failure_names_its_place_and_changes_nothing(place: Place) -> None:
    before = await place.deployer.deploy("chat", place.bundle(app__py=APP))
    deploy = place.deployer.deploy
    with pytest.raises(ConfigError, match=r"dialback\.toml:2: unknown key"):
        await deploy("chat", place.bundle(app__py=APP, dialback__toml=b"\nnope = 1"))
    place.inspector.error = EntryError("No module named 'nope'", file="app.py", line=1)
    with pytest.raises(EntryError, match=r"app\.py:1: No module"):
        await deploy("chat", place.bundle(app__py=APP + b"#1"))
    assert place.registry.all() == [before.deployment]
    assert await place.store.deployments("chat") == [before.deployment]
    assert place.on_disk() == [before.deployment.bundle]


@pytest.mark.parametrize("step", ["copy_tree", "settle", "unpack"])
async def test_a_full_disk_at_any_step_changes_nothing(
    place: Place, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await place.deployer.deploy("chat", place.bundle(app__py=APP))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    upload = place.bundle(app__py=APP + b"#2")
    targets = {"copy_tree": (bundles.shutil, "copy"), "settle": (Path, "rename"), "unpack": (Path, "open")}
    monkeypatch.setattr(*targets[step], full)
    with pytest.raises(DiskFull):
        await place.deployer.deploy("chat", upload)
    monkeypatch.undo()
    assert place.on_disk() == [before.deployment.bundle]
    assert place.registry.resolve("chat") is before.deployment


async def test_a_store_that_fails_leaves_no_bundle_and_no_version(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(deployment: Deployment) -> None:
        raise StoreFailure("no")

    monkeypatch.setattr(place.store, "add_deployment", fail)
    with pytest.raises(StoreFailure):
        await place.deployer.deploy("chat", place.bundle(app__py=APP))
    assert place.on_disk() == []
    assert place.registry.all() == []
    monkeypatch.undo()
    kept = await place.deployer.deploy("chat", place.bundle(app__py=APP))
    monkeypatch.setattr(place.store, "add_deployment", fail)
    with pytest.raises(StoreFailure):
        await place.deployer.deploy("other", place.bundle(app__py=APP))
    assert place.on_disk() == [kept.deployment.bundle]  # the bundle of the other function is not taken away


async def test_a_deploy_that_is_given_up_leaves_nothing_behind(place: Place) -> None:
    place.inspector.gate = asyncio.Event()
    task = asyncio.create_task(place.deployer.deploy("chat", place.bundle(app__py=APP)))
    await asyncio.wait_for(place.inspector.entered.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert place.on_disk() == []
    assert place.registry.all() == []


async def test_a_deploy_that_is_given_up_while_it_commits_is_whole(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, gate = asyncio.Event(), asyncio.Event()
    real = place.store.add_deployment

    async def slow(deployment: Deployment) -> None:
        entered.set()
        await gate.wait()
        await real(deployment)

    monkeypatch.setattr(place.store, "add_deployment", slow)
    task = asyncio.create_task(place.deployer.deploy("chat", place.bundle(app__py=APP)))
    await asyncio.wait_for(entered.wait(), 5)
    task.cancel()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    active = place.registry.resolve("chat")
    assert active is not None
    assert await place.store.active_deployments() == [active]
    assert place.data.bundle(active.bundle).is_dir()


async def test_two_deploys_of_one_name_come_one_after_the_other(place: Place) -> None:
    first = place.bundle(app__py=APP).rename(place.data.root / "first")
    second = place.bundle(app__py=APP + b"#").rename(place.data.root / "second")
    await asyncio.gather(place.deployer.deploy("chat", first), place.deployer.deploy("chat", second))
    active = place.registry.resolve("chat")
    assert [active] == await place.store.active_deployments()
    assert len(await place.store.deployments("chat")) == 2


async def test_a_removed_function_is_gone(place: Place) -> None:
    made = (await place.deployer.deploy("chat", place.bundle(app__py=APP))).deployment
    assert await place.deployer.remove("Chat") == made
    assert place.registry.resolve("chat") is None
    assert await place.store.active_deployments() == []
    with pytest.raises(NotFound):
        await place.deployer.remove("chat")


async def test_a_restart_brings_functions_back_and_sweeps_what_a_crash_left(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    kept = (await place.deployer.deploy("chat", place.bundle(app__py=APP))).deployment
    lost = (await place.deployer.deploy("lost", place.bundle(app__py=APP + b"#"))).deployment
    bundles.shutil.rmtree(place.data.bundle(lost.bundle))
    (place.data.bundles / ".staging-1").mkdir()
    (place.data.bundles / ".staging-2").write_text("an upload")
    (place.data.bundles / ("a" * 64)).mkdir()
    (place.data.bundles / "somebody's").mkdir()
    fresh = Registry()
    again = Deployer(data=place.data, store=place.store, registry=fresh, inspector=place.inspector)
    await again.load()
    assert fresh.all() == [kept]
    assert "lost is left out" in caplog.text
    assert place.on_disk() == sorted([kept.bundle, "somebody's"])
    await again.load()
    await again.close()


def test_listeners_hear_of_changes_and_cannot_stop_them(caplog: pytest.LogCaptureFixture) -> None:
    def made(number: int) -> Deployment:
        return Deployment(f"d_{number}", "chat", "b", "asgi", "app:app", FunctionConfig(), 0.0)

    heard: list[object] = []
    registry = Registry()

    def broken(*_: object) -> None:
        raise RuntimeError("a listener's fault")

    registry.listen(broken, broken)
    registry.listen(on_activate=lambda old, new: heard.append((old and old.id, new.id)))
    registry.listen(on_remove=lambda old: heard.append(old.id))
    assert registry.activate(made(1)) is None
    old = registry.activate(made(2))
    assert old is not None
    assert old.id == "d_1"
    assert registry.remove("CHAT") is not None
    assert registry.remove("chat") is None
    assert heard == [(None, "d_1"), ("d_1", "d_2"), "d_2"]
    assert len(caplog.records) == 3


@pytest.mark.parametrize(
    ("files", "entry"),
    [
        ({"ticker.py": "def handler(event, context): ..."}, "ticker:handler"),
        ({"main.py": "def app(event, context): ...", "other.py": ""}, "main:app"),
        (
            {"pkg/__init__.py": "", "pkg/api.py": "def go(e, c): ...", "dialback.toml": 'entry = "pkg.api:go"'},
            "pkg.api:go",
        ),
    ],
)
async def test_whatever_the_bridge_serves_can_be_deployed(place: Place, files: dict[str, str], entry: str) -> None:
    place.deployer._inspector = BridgeInspector()
    bundle = place.bundle(**{name.replace(".", "__"): text.encode() for name, text in files.items()})
    assert (await place.deployer.deploy("fn", bundle)).deployment.entry == entry


@pytest.mark.parametrize(
    ("files", "code", "words"),
    [
        ({}, "entry_missing", "there is no Python file"),
        ({"one.py": "", "two.py": ""}, "entry_missing", "there are one.py, two.py"),
        ({"app.py": "x = 1"}, "entry_missing", "app.py: no entry: it exports none of"),
        (
            {"app.py": "x = 1", "dialback.toml": "mode = 'callback'\nentry = 'nope:app'\n"},
            "entry_missing",
            "dialback.toml:2: no entry: there is no module 'nope'",
        ),
        ({"app.py": "x = 1", "dialback.toml": "entry = 'app:nope'\n"}, "entry_missing", "app.py: module 'app' has no"),
        ({"app.py": "x = 1\ndef broken(:"}, "syntax_error", "app.py:2: SyntaxError: invalid syntax"),
        ({"app.py": "import nope"}, "import_failed", "app.py:1: ModuleNotFoundError"),
    ],
)
async def test_the_bridge_says_what_is_wrong_with_an_entry(
    place: Place, files: dict[str, str], code: str, words: str
) -> None:
    place.deployer._inspector = BridgeInspector()
    bundle = place.bundle(README=b"", **{name.replace(".", "__"): text.encode() for name, text in files.items()})
    with pytest.raises(EntryError) as caught:
        await place.deployer.deploy("fn", bundle)
    assert caught.value.code == code
    assert words in str(caught.value)
    assert place.on_disk() == []


def scripted(script: str, time_limit: float = 10.0) -> BridgeInspector:
    return BridgeInspector(time_limit, (sys.executable, "-S", "-P", "-c", script))


async def test_the_inspectors_last_line_counts_whatever_the_function_prints(tmp_path: Path) -> None:
    script = 'print("{}"); print("hello"); print(\'{"kind": "lambda", "entry": "app:handler"}\'); print("[1]")'
    assert await scripted(script).inspect(tmp_path, FunctionConfig()) == Inspected("lambda", "app:handler")


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"app.py": "async def app(scope, receive, send): ..."}, Inspected("asgi", "app:app")),
        ({"main.py": "async def handler(event, context): ..."}, Inspected("lambda", "main:handler")),
        ({"function.py": "def handler(event, context): ..."}, Inspected("lambda", "function:handler", blocks=True)),
    ],
)
async def test_the_bridge_tells_what_a_function_is(tmp_path: Path, files: dict[str, str], found: Inspected) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert await BridgeInspector().inspect(tmp_path, FunctionConfig()) == found
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)


async def test_a_function_is_inspected_in_its_own_python_which_has_longer(tmp_path: Path) -> None:
    bridge, folder = tmp_path / "bridge", tmp_path / "function"
    bridge.mkdir()
    folder.mkdir()
    (folder / "app.py").write_text("def handler(event, context): ...\n")
    python = WorkerPython(Path(sys.executable), "3.12.0", bridge_folder(bridge))
    inspector = BridgeInspector(time_limit=0.0001)
    assert await inspector.inspect(folder, FunctionConfig(), python) == Inspected("lambda", "app:handler", blocks=True)
    with pytest.raises(InspectTimeout, match=r"longer than 0\.001 seconds"):
        await BridgeInspector(first_limit=0.001).inspect(folder, FunctionConfig(), python)


async def test_the_bridge_tells_where_an_import_fails(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import os\nimport no_such_module\n")
    with pytest.raises(EntryError, match=r"app\.py:2: .*no_such_module") as caught:
        await BridgeInspector().inspect(tmp_path, FunctionConfig())
    assert caught.value.source == "import no_such_module"


async def test_the_inspection_gets_the_functions_environment_and_none_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", "x")
    script = (
        "import os, sys, json; e = dict(os.environ); e.pop('LC_CTYPE', None)\n"
        "print(json.dumps({'kind': 'asgi', 'entry': ' '.join(sorted(e)) + ' ' + os.getcwd() + ' '.join(sys.argv[1:])}))"
    )
    found = await scripted(script).inspect(tmp_path, FunctionConfig(env={"GREETING": "hi"}, entry="app:app"))
    assert "A_SECRET" not in found.entry
    assert "GREETING" in found.entry
    assert f"{tmp_path}--watch-stdin --dir {tmp_path} --entry app:app" in found.entry


async def test_output_without_end_is_read_and_forgotten(tmp_path: Path) -> None:
    script = 'print(\'x\' * 3_000_000)\nprint(\'{"kind": "asgi", "entry": "a:a"}\')'
    assert await scripted(script).inspect(tmp_path, FunctionConfig()) == Inspected("asgi", "a:a")


async def test_what_the_import_says_is_passed_on_with_its_place(tmp_path: Path) -> None:
    script = (
        "import json; print(json.dumps({'error': {'message': 'No module named nope', 'file': 'app.py', 'line': 3,"
        " 'source': 'import nope'}})); raise SystemExit(3)"
    )
    with pytest.raises(EntryError) as caught:
        await scripted(script).inspect(tmp_path, FunctionConfig())
    assert str(caught.value) == "app.py:3: No module named nope"
    assert caught.value.source == "import nope"
    with pytest.raises(EntryError, match="cannot be imported"):
        await scripted('print(\'{"error": {"line": "x"}}\'); raise SystemExit(3)').inspect(tmp_path, FunctionConfig())


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import os; os.abort()", "was killed by signal 6"),
        ("import sys; sys.exit('its last words')", "exit code 1; its last words: its last words"),
        ("pass", "ended with exit code 0"),
        ('print(\'{"kind": "cobol", "entry": "a"}\')', "ended with exit code 0"),
    ],
)
async def test_an_import_that_ends_the_process_is_the_functions_error(tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises(EntryError, match=said):
        await scripted(script).inspect(tmp_path, FunctionConfig())


async def test_an_import_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    script = (
        "import os, signal, pathlib\n"
        "pid = os.fork()\n"
        "if pid: pathlib.Path('pid').write_text(str(pid))\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "signal.pause()"
    )
    started = time.monotonic()
    with pytest.raises(InspectTimeout, match=r"longer than 0\.5 seconds"):
        await scripted(script, 0.5).inspect(tmp_path, FunctionConfig())
    assert time.monotonic() - started < 5
    status = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")

    async def dead() -> None:
        # The signal was sent; the kernel delivers it when the process is next scheduled.
        while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":
            await asyncio.sleep(0)

    await asyncio.wait_for(dead(), 5.0)


async def test_a_child_that_left_the_group_with_our_pipes_holds_nobody_up(tmp_path: Path) -> None:
    script = (
        "import os, signal, pathlib\n"
        "if os.fork() == 0:\n"
        "    os.setsid(); pathlib.Path('pid').write_text(str(os.getpid())); signal.alarm(20); signal.pause()\n"
        "while not os.path.exists('pid') or not os.path.getsize('pid'): pass\n"
        'print(\'{"kind": "asgi", "entry": "a:a"}\')'
    )
    try:
        found = await asyncio.wait_for(scripted(script).inspect(tmp_path, FunctionConfig()), 10)
        assert found == Inspected("asgi", "a:a")
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


async def test_no_python_to_inspect_with_is_said(tmp_path: Path) -> None:
    with pytest.raises(LaunchFailed, match="cannot be started"):
        await BridgeInspector(command=("/nonexistent/python",)).inspect(tmp_path, FunctionConfig())
