"""Functions with dependencies in containers: an image for each hash of what they want, built once, then removed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dialback_invoker.deploy.inspect_container import ContainerInspector
from dialback_invoker.errors import BuildFailed, EntryError, InspectTimeout, NoPython
from dialback_invoker.function_config import FunctionConfig
from dialback_invoker.launchers.docker_environments import ContainerEnvironments, arguments, dockerfile, look

from .conftest import Containers, within

pytestmark = pytest.mark.timeout(180)
SMALL = "iniconfig==2.0.0"


@pytest.fixture
def environments(containers: Containers) -> ContainerEnvironments:
    site = containers.site
    made = ContainerEnvironments(site.engine, site.image, site.platform, containers.launcher.python_version)
    site.environments = made
    return made


@pytest.fixture
def tree(containers: Containers) -> Path:
    """The folder of the function that the containers run, with a dependency."""
    bundle = containers.spec.bundle
    (bundle / "requirements.txt").write_text(SMALL + "\n")
    return bundle


async def provide(
    environments: ContainerEnvironments, tree: Path, config: FunctionConfig, tell: Callable[[str], None]
) -> None:
    async with asyncio.timeout(120), environments.provided(tree, config, tell):
        pass


def images(containers: Containers) -> list[str]:
    found: list[dict[str, Any]] = containers.client.images(
        filters={"label": f"dialback.platform={containers.site.platform}"}
    )
    return [tag for image in found for tag in image["RepoTags"] or ()]


async def test_dependencies_are_installed_once_for_the_containers_own_python(
    containers: Containers, environments: ContainerEnvironments, tree: Path
) -> None:
    said: list[str] = []
    config = FunctionConfig()
    try:
        await provide(environments, tree, config, said.append)
        assert said[0] == "installing requirements.txt into an image for containers"
        assert not any("\x1b" in line or line.startswith("Step") for line in said)
        (name,) = images(containers)
        again: list[str] = []
        await provide(environments, tree, config, again.append)
        assert again == []
        pool = containers.pool()
        found = await containers.run(
            pool, "import importlib.metadata\nresult = [importlib.metadata.version('iniconfig'), os.getuid()]"
        )
        assert found == ["2.0.0", 10001]
        assert containers.inspected()["Config"]["Image"] == name
        await within(pool.stop(0))
        assert await environments.remove_unused([tree]) == []
        async with environments.provided(tree, config, again.append):
            assert await environments.remove_unused([]) == [], "a deployment under way keeps its image"
        (tree / "requirements.txt").unlink()
        assert await environments.remove_unused([tree]) == [name]
        assert images(containers) == []
    finally:
        await environments.remove_unused([])


async def test_an_image_that_was_lost_is_built_again(
    containers: Containers, environments: ContainerEnvironments, tree: Path
) -> None:
    try:
        name = await within(environments.image_of(tree), 120)
        await asyncio.to_thread(containers.client.remove_image, name, force=True)
        from dialback_invoker.launchers.base import LaunchFailed

        pool = containers.pool()
        with pytest.raises(LaunchFailed, match="it is built again"):
            await containers.lease(pool)
        async with asyncio.timeout(60):
            while True:
                try:
                    assert await containers.run(pool, "import iniconfig; result = 1") == 1
                    break
                except LaunchFailed:
                    await asyncio.sleep(0.1)
        await within(pool.stop(0))
    finally:
        await environments.remove_unused([])


async def test_what_cannot_be_installed_is_told_in_the_resolvers_words(
    containers: Containers, environments: ContainerEnvironments, tree: Path
) -> None:
    (tree / "requirements.txt").write_text("iniconfig==99999\n")
    with pytest.raises(BuildFailed, match="no version of iniconfig==99999") as caught:
        await provide(environments, tree, FunctionConfig(), lambda _: None)
    assert caught.value.file == "requirements.txt"
    assert images(containers) == []


async def test_an_old_websockets_is_refused_before_the_bridge_meets_it(
    containers: Containers, environments: ContainerEnvironments, tree: Path
) -> None:
    (tree / "requirements.txt").write_text("websockets==11.0\n")
    with pytest.raises(BuildFailed, match="websockets"):
        await provide(environments, tree, FunctionConfig(), lambda _: None)


@pytest.mark.parametrize(
    ("python", "project"), [("3.9", None), (None, '[project]\nname = "x"\nversion = "1"\nrequires-python = "<3.11"\n')]
)
async def test_a_python_that_containers_do_not_have_is_refused_by_name(
    containers: Containers, environments: ContainerEnvironments, python: str | None, project: str | None
) -> None:
    if project is not None:
        (containers.spec.bundle / "pyproject.toml").write_text(project)
    config = FunctionConfig().model_copy(update={"python": python})
    with pytest.raises(NoPython, match=r"containers run Python 3\.13"):
        await provide(environments, containers.spec.bundle, config, lambda _: None)


def test_hashes_are_demanded_without_a_constraint_that_has_none(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(f"--require-hashes\n{SMALL} --hash=sha256:{'0' * 64}\n")
    wanted = look(tmp_path, FunctionConfig())
    assert wanted.requirements is not None
    text = dockerfile(wanted.requirements, "base:1")
    assert "--constraint" not in text
    assert "USER 10001:10001\n" in text
    assert text.startswith("FROM base:1 AS build\n")


def test_a_lock_is_exported_and_a_project_is_read(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\ndependencies = ["iniconfig"]\nrequires-python = ">=3.11"\n'
    )
    project = look(tmp_path, FunctionConfig()).requirements
    assert project is not None
    assert "--requirements pyproject.toml" in dockerfile(project, "base:1")
    (tmp_path / "uv.lock").write_text("version = 1\n")
    locked = look(tmp_path, FunctionConfig()).requirements
    assert locked is not None
    assert "/build/uv export --locked" in dockerfile(locked, "base:1")


def test_an_installation_learns_the_index_and_the_proxy_and_nothing_else() -> None:
    environ = {"UV_INDEX_URL": "https://index.example/simple", "HTTPS_PROXY": "http://p:1", "AWS_SECRET": "x"}
    assert arguments(environ) == {"UV_INDEX_URL": "https://index.example/simple", "HTTPS_PROXY": "http://p:1"}


async def test_an_inspection_runs_in_a_container_and_leaves_none(containers: Containers, run_dir: Path) -> None:
    inspector = ContainerInspector(containers.launcher, time_limit=3.0)
    folder = run_dir / "inspected"
    folder.mkdir()
    (folder / "app.py").write_text(
        "import os\nprint('noise')\nassert os.getuid() == 10001 and os.environ['A'] == 'b'\ndef handler(e, c): ...\n"
    )
    config = FunctionConfig.model_validate({"env": {"A": "b"}})
    found = await within(inspector.inspect(folder, config))
    assert (found.kind, found.entry, found.blocks) == ("lambda", "app:handler", True)
    (folder / "app.py").chmod(0o644)
    (folder / "app.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(EntryError, match="nothing_of_that_name") as caught:
        await within(inspector.inspect(folder, FunctionConfig.model_validate({"entry": "app:handler"})))
    assert caught.value.line == 1
    (folder / "app.py").write_text("import os\nos.abort()\n")
    with pytest.raises(EntryError, match="was killed by signal 6"):
        await within(inspector.inspect(folder, FunctionConfig()))
    (folder / "app.py").write_text("while True: pass\n")
    with pytest.raises(InspectTimeout, match="longer than 3 seconds"):
        await within(inspector.inspect(folder, FunctionConfig()))
    assert containers.found() == []
