"""Versions of a function: each in its environment, earlier ones served again, and what nobody needs removed."""

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dialback_invoker.deploy.deployer import Deployer
from dialback_invoker.deploy.inspect import Inspected
from dialback_invoker.deployment import Deployment
from dialback_invoker.environments.environment import Environment
from dialback_invoker.errors import BuildFailed, Conflict, DialbackError, EntryError, NotFound, StoreFailure
from dialback_invoker.function_config import FunctionConfig
from dialback_invoker.launchers.base import WorkerPython
from dialback_invoker.paths import DataFolder
from dialback_invoker.registry import Registry
from dialback_invoker.secrets.book import NOTHING, Surroundings
from dialback_invoker.store.port import Retention
from dialback_invoker.store.sqlite import SqliteStore


class FakeEnvironments:
    """A function asks for the environment whose key stands in its requirements.txt."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.built: list[str] = []
        self.held: set[str] = set()
        self.error: DialbackError | None = None

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def of(self, key: str) -> Environment | None:
        return Environment(key, Path("/e") / key, "3.12.0", "requirements.txt", (), 1) if key in self.there else None

    def python_of(self, key: str) -> WorkerPython | None:
        return WorkerPython(Path(f"/e/{key}/bin/python"), "3.12.0", Path("/e/bridge")) if key else None

    @asynccontextmanager
    async def provided(self, tree: Path, config: FunctionConfig, tell) -> AsyncIterator[Environment | None]:
        file = tree / "requirements.txt"
        key = file.read_text().strip() if file.is_file() else ""
        if key and key not in self.there:
            tell(f"building {key}")
            if self.error is not None:
                raise self.error
            self.built.append(key)
            self.there.add(key)
        self.held.add(key)
        try:
            yield self.of(key) if key else None
        finally:
            self.held.discard(key)

    def remove_unused(self, keys):
        gone = sorted(self.there - set(keys) - self.held)

        def work() -> list[str]:
            self.there -= set(gone)
            return gone

        return work


class FakeInspector:
    def __init__(self) -> None:
        self.pythons: list[WorkerPython | None] = []
        self.error: DialbackError | None = None

    async def inspect(
        self,
        folder: Path,
        config: FunctionConfig,
        python: WorkerPython | None = None,
        surroundings: Surroundings = NOTHING,
    ) -> Inspected:
        self.pythons.append(python)
        if self.error is not None:
            raise self.error
        return Inspected("asgi", "app:app")


class Place:
    """A data folder with a store that keeps three deployments of a function, and a clock that counts."""

    def __init__(self, root: Path, store: SqliteStore) -> None:
        self.data = DataFolder(root)
        self.store = store
        self.registry = Registry()
        self.inspector = FakeInspector()
        self.environments = FakeEnvironments()
        self.running: list[Deployment] = []
        self.now = 0.0
        self.said: list[str] = []
        self.deployer = self.made(self.registry)

    def made(self, registry: Registry) -> Deployer:
        return Deployer(
            data=self.data,
            store=self.store,
            registry=registry,
            inspector=self.inspector,
            environments=self.environments,  # type: ignore[arg-type]
            running=lambda: self.running,
            clock=self.clock,
        )

    def clock(self) -> float:
        self.now += 1
        return self.now

    async def deploy(self, version: int, environment: str = "", name: str = "chat") -> Deployment:
        files = {"app.py": f"app = {version}\n", **({"requirements.txt": environment} if environment else {})}
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            for file, text in files.items():
                info = tarfile.TarInfo(file)
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text.encode()))
        path = self.data.root / f"upload-{version}"
        path.write_bytes(out.getvalue())
        made = (await self.deployer.deploy(name, path, self.said.append)).deployment
        await self.deployer.collector.settled()
        return made

    async def rollback(self, wanted: str | None = None) -> Deployment:
        return (await self.deployer.rollback("chat", wanted, self.said.append)).deployment

    async def kept(self) -> list[str]:
        """What is kept of the function, newest first: the version's place and whether its code is on disk."""
        found = await self.store.deployments("chat")
        assert {each.bundle for each in found} <= {path.name for path in self.data.bundles.iterdir()}
        return [each.id for each in found]

    def bundles(self) -> set[str]:
        return {path.name for path in self.data.bundles.iterdir()}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    data = DataFolder(tmp_path)
    data.create()
    store = await SqliteStore.open(data.database, Retention(deployments=3))
    made = Place(tmp_path, store)
    yield made
    await made.deployer.close()
    await store.close()


# --- environments -----------------------------------------------------------------------------------------------------


async def test_a_function_is_inspected_in_its_environment_and_remembers_it(place: Place) -> None:
    made = await place.deploy(1, "e1")
    assert (made.environment, made.size) == ("e1", len("app = 1\n") + len("e1"))
    assert place.inspector.pythons == [place.environments.python_of("e1")]
    assert place.said == ["building e1"]
    assert await place.store.active_deployments() == [made]
    plain = await place.deploy(2)
    assert (plain.environment, place.inspector.pythons[1]) == ("", None)


async def test_a_failed_build_keeps_the_running_version(place: Place) -> None:
    before = await place.deploy(1, "e1")
    place.environments.error = BuildFailed("requirements.txt cannot be installed: no such thing")
    with pytest.raises(BuildFailed, match="no such thing"):
        await place.deploy(2, "e2")
    assert place.registry.resolve("chat") is before
    assert place.bundles() == {before.bundle}


async def test_an_environment_that_no_deployment_came_to_use_is_collected(place: Place) -> None:
    await place.deploy(1, "e1")
    place.inspector.error = EntryError("broken")
    with pytest.raises(EntryError):
        await place.deploy(2, "e2")
    assert place.environments.there == {"e1", "e2"}  # for who mends the function and deploys it again
    place.inspector.error = None
    await place.deploy(3, "e1")
    assert place.environments.there == {"e1"}


async def test_the_same_content_is_deployed_again_when_its_environment_is_gone(place: Place) -> None:
    first = await place.deploy(1, "e1")
    assert (await place.deploy(1, "e1")) is first
    place.environments.there.clear()
    again = await place.deploy(1, "e1")
    assert again.id != first.id
    assert place.environments.built == ["e1", "e1"]


# --- rollback ---------------------------------------------------------------------------------------------------------


async def test_a_rollback_lets_the_version_before_serve_again(place: Place) -> None:
    first, second, third = [await place.deploy(number) for number in (1, 2, 3)]
    heard: list[tuple[str, str]] = []
    place.registry.listen(on_activate=lambda old, new: heard.append((old.id, new.id)))
    assert await place.rollback() == second
    assert await place.rollback() == first
    assert await place.store.active_deployments() == [first]
    assert heard == [(third.id, second.id), (second.id, first.id)]
    with pytest.raises(Conflict, match=f"no deployment before {first.id}"):
        await place.rollback()
    assert await place.kept() == [third.id, second.id, first.id]
    assert len(place.inspector.pythons) == 3  # nothing was loaded again


async def test_a_rollback_goes_where_an_id_or_its_beginning_says(place: Place) -> None:
    first, _, third = [await place.deploy(number) for number in (1, 2, 3)]
    assert await place.rollback(first.id) == first
    assert await place.rollback(third.id[:10]) == third
    result = await place.deployer.rollback("chat", third.id)
    assert (result.unchanged, result.deployment) == (True, third)
    with pytest.raises(NotFound, match="no deployment 'd_nope' of chat"):
        await place.rollback("d_nope")
    with pytest.raises(NotFound):
        await place.rollback("")
    with pytest.raises(Conflict, match="'d_' begins more than one deployment of chat: d_"):
        await place.rollback("d_")
    with pytest.raises(NotFound, match="there is no function 'nobody'"):
        await place.deployer.rollback("nobody")


async def test_a_rollback_builds_an_environment_that_is_gone(place: Place) -> None:
    first = await place.deploy(1, "e1")
    await place.deploy(2, "e2")
    place.environments.there.discard("e1")
    assert await place.rollback() == first
    assert place.environments.built == ["e1", "e2", "e1"]
    assert place.said[-1] == "building e1"


async def test_a_rollback_to_code_that_is_gone_is_refused(place: Place) -> None:
    first = await place.deploy(1)
    second = await place.deploy(2)
    place.data.bundle(first.bundle).rename(place.data.root / "elsewhere")
    with pytest.raises(Conflict, match=f"the code of {first.id} is gone"):
        await place.rollback()
    assert place.registry.resolve("chat") is second


async def test_a_deployment_that_was_forgotten_meanwhile_is_not_activated(place: Place) -> None:
    first = await place.deploy(1)
    second = await place.deploy(2)
    await place.store.remove_function("chat")
    with pytest.raises(NotFound, match=f"no deployment {first.id}"):
        await place.store.activate(first)
    assert place.registry.resolve("chat") is second


# --- collecting -------------------------------------------------------------------------------------------------------


async def test_the_newest_are_kept_with_their_code_and_their_environments(place: Place) -> None:
    made = [await place.deploy(number, f"e{number}") for number in range(1, 6)]
    assert await place.kept() == [made[4].id, made[3].id, made[2].id]
    assert place.bundles() == {each.bundle for each in made[2:]}
    assert place.environments.there == {"e3", "e4", "e5"}


async def test_the_active_one_and_those_that_run_are_kept_however_old(place: Place) -> None:
    first = await place.deploy(1, "e1")
    place.running = [first]
    later = [await place.deploy(number) for number in (2, 3, 4)]
    assert await place.kept() == [*(each.id for each in reversed(later)), first.id]
    await place.rollback(first.id)
    place.running = []
    assert await place.deployer.collector.collect() == []
    last = await place.deploy(5)
    assert await place.kept() == [last.id, later[2].id, later[1].id]
    assert place.environments.there == set()


async def test_what_a_removed_function_leaves_goes_at_once_but_not_what_still_runs(place: Place) -> None:
    first = await place.deploy(1, "e1")
    second = await place.deploy(2, "e2")
    place.running = [second]
    await place.deployer.remove("chat")
    await place.deployer.collector.settled()
    assert place.bundles() == {second.bundle}
    assert place.environments.there == {"e2"}
    assert first.bundle not in place.bundles()
    place.running = []
    place.deployer.collector.soon()
    await place.deployer.collector.settled()
    assert (place.bundles(), place.environments.there) == (set(), set())


async def test_a_collection_that_fails_is_logged_and_the_next_one_works(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await place.deploy(1)
    await place.deployer.remove("chat")

    async def fail(running: object) -> list[str]:
        raise StoreFailure("no")

    await place.deployer.collector.settled()
    monkeypatch.setattr(place.store, "prune_deployments", fail)
    place.deployer.collector.soon()
    place.deployer.collector.soon()
    await place.deployer.collector.settled()
    assert "could not be removed: no" in caplog.text
    monkeypatch.undo()
    assert await place.deployer.collector.collect() == []
    await place.deployer.collector.close()
    place.deployer.collector.soon()  # nothing begins any more
    await place.deployer.collector.settled()


# --- after a restart --------------------------------------------------------------------------------------------------


async def test_a_function_whose_environment_is_gone_is_served_when_it_was_built_again(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    broken = await place.deploy(1, "e1")
    whole = await place.deploy(2, name="other")
    place.environments.there.clear()
    registry = Registry()
    activated = asyncio.Event()
    again = place.made(registry)
    registry.listen(on_activate=lambda _, new: activated.set() if new.id == broken.id else None)
    await again.load()
    assert whole in registry.all()
    await asyncio.wait_for(activated.wait(), 30)
    assert registry.resolve("chat") == broken
    assert "the environment of function chat is gone: it is built again" in caplog.text
    await again.close()


async def test_an_environment_that_cannot_be_built_again_leaves_its_function_out(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    await place.deploy(1, "e1")
    place.environments.there.clear()
    place.environments.error = BuildFailed("nothing can be reached")
    again = place.made(Registry())
    await again.load()
    assert again._restoring is not None
    await again._restoring
    assert "function chat is left out: nothing can be reached" in caplog.text
    await again.close()
