"""Platforms for the tests: one that all share, and fresh ones for tests that break theirs."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.docker_engine import needs_an_engine

from .platform import FUNCTIONS, Platform

HONEST = frozenset(
    {"at_most_once", "back_pressure", "disconnects", "honest_ends", "isolation", "shutdown", "timeouts", "tokens"}
)
"""What must hold in every mode that streams."""


WAYS = ("callback", "tunnel", "docker")
"""Of serving: processes in either mode, and containers."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of honest behaviour that make platforms of their own run in every way. The mark `processes` says of one why
    it is about processes alone.
    """
    if "make" in metafunc.fixturenames and metafunc.module.__name__.rpartition(".test_")[2] in HONEST:
        alone = metafunc.definition.get_closest_marker("processes")
        assert alone is None or (alone.args and isinstance(alone.args[0], str)), "the mark wants a reason"
        metafunc.parametrize("way", WAYS if alone is None else WAYS[:2])


@pytest.fixture
def way() -> str:
    """How the platforms of the test's own serve."""
    return "callback"


@pytest.fixture(scope="session", params=WAYS)
def shared(request: pytest.FixtureRequest) -> Iterator[Platform]:
    """A platform with the function `probe` at concurrency 10, one worker. Tests leave it as they found it.

    What holds for processes in either mode must hold for containers, too.
    """
    if request.param == "docker":
        platform: Platform = request.getfixturevalue("contained")
        yield platform
    else:
        yield from _with_probe(serving(request.param))


@pytest.fixture(scope="session")
def contained() -> Iterator[Platform]:
    """The shared platform whose functions run in containers."""
    yield from _with_probe(serving("docker"))


def _with_probe(platform: Platform) -> Iterator[Platform]:
    try:
        platform.start()
        platform.deploy_probe()
        assert platform.get("/@probe/hello").text == "Hello world\n"
        yield platform
    finally:
        platform.destroy()


def serving(way: str, **flags: tuple[str, ...]) -> Platform:
    """A platform that serves in that way, not started."""
    if way == "docker":
        needs_an_engine()
        return Platform(launcher="docker", **flags)
    return Platform(mode=way, **flags)


@pytest.fixture
def make(way: str) -> Iterator[Callable[..., Platform]]:
    """Makes platforms that are gone after the test."""
    made: list[Platform] = []

    def make(**flags: tuple[str, ...]) -> Platform:
        platform = serving(way, **flags)
        made.append(platform)
        return platform.start()

    yield make
    for platform in made:
        platform.destroy()


@pytest.fixture
def deploy(shared: Platform) -> Iterator[Callable[..., str]]:
    """Deploys functions of the test's own on the shared platform, by default a probe; answers the name, which is gone
    after the test.
    """
    yield from own_functions(shared)


def own_functions(platform: Platform) -> Iterator[Callable[..., str]]:
    """As `deploy` does, on this platform."""
    names: list[str] = []

    def deploy(source: Path = FUNCTIONS / "probe", **config: object) -> str:
        names.append(f"own-{uuid.uuid4().hex[:8]}")
        if source.name == "probe":
            platform.deploy_probe(names[-1], **config)
        else:
            platform.deploy(source, names[-1], **config)
        return names[-1]

    yield deploy
    for name in names:
        platform.command("rm", name)


@pytest.fixture
def tag() -> str:
    """A name for one test's evidence."""
    return uuid.uuid4().hex[:12]
