"""One build of the images and one clean checkout for all tests of compose."""

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .composed import Composed, Engine, built, clone, docker, missing

Make = Callable[..., Composed]


@pytest.fixture(scope="session")
def engine() -> Engine:
    """A real Docker Engine with compose; without one these tests are left out, and the run says so."""
    reason = missing()
    if reason:
        pytest.skip(f"the platform in compose was not tested, it needs a Docker Engine: {reason}")
    context = json.loads(docker("context", "inspect"))[0]
    host = os.environ.get("DOCKER_HOST") or context["Endpoints"]["docker"]["Host"]
    if not host.startswith("unix://"):
        pytest.skip(f"the platform in compose was not tested: the engine at {host} has no socket on this machine")
    path = host.removeprefix("unix://")
    found = os.stat(path)
    assert stat.S_ISSOCK(found.st_mode)
    return Engine(path, found.st_gid)


@pytest.fixture(scope="session")
def checkout(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clean checkout; its images are built, and do for every other."""
    made = clone(tmp_path_factory.mktemp("compose"))
    with built(made, engine):
        yield made


@pytest.fixture
def make(checkout: Path, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """Makes projects that are gone after the test, whatever happened."""
    made: list[Composed] = []

    def project(**variables: str) -> Composed:
        made.append(Composed(clone(tmp_path_factory.mktemp("project")), engine, **variables))
        return made[-1]

    yield project
    for each in made:
        each.destroy()


@pytest.fixture(scope="session")
def platform(checkout: Path, engine: Engine) -> Iterator[Composed]:
    """A platform as `docker compose up` makes it, examples and all. Tests leave it as they found it."""
    composed = Composed(checkout, engine)
    try:
        composed.up()
        yield composed
    finally:
        composed.destroy()
