"""Platforms for the tests: one that all share, and fresh ones for tests that break theirs."""

import uuid
from collections.abc import Callable, Iterator

import pytest

from .platform import Platform

HONEST = frozenset(
    {"at_most_once", "back_pressure", "disconnects", "honest_ends", "isolation", "shutdown", "timeouts", "tokens"}
)
"""What must hold in every mode that streams."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of honest behaviour that make platforms of their own run in both modes."""
    if "make" in metafunc.fixturenames and metafunc.module.__name__.rpartition(".test_")[2] in HONEST:
        metafunc.parametrize("mode", ["callback", "tunnel"])


@pytest.fixture
def mode() -> str:
    """The mode of the functions on a platform of the test's own."""
    return "callback"


@pytest.fixture(scope="session", params=["callback", "tunnel"])
def shared(request: pytest.FixtureRequest) -> Iterator[Platform]:
    """A platform with the function `probe` at concurrency 10, one worker. Tests leave it as they found it."""
    platform = Platform(mode=request.param)
    try:
        platform.start()
        platform.deploy_probe()
        assert platform.get("/@probe/hello").text == "Hello world\n"
        yield platform
    finally:
        platform.destroy()


@pytest.fixture
def make(mode: str) -> Iterator[Callable[..., Platform]]:
    """Makes platforms that are gone after the test."""
    made: list[Platform] = []

    def make(**flags: tuple[str, ...]) -> Platform:
        platform = Platform(mode=mode, **flags)
        made.append(platform)
        return platform.start()

    yield make
    for platform in made:
        platform.destroy()


@pytest.fixture
def tag() -> str:
    """A name for one test's evidence."""
    return uuid.uuid4().hex[:12]
