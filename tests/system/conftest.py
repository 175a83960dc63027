"""Platforms for the tests: one that all share, and fresh ones for tests that break theirs."""

import uuid
from collections.abc import Callable, Iterator

import pytest

from .platform import Platform


@pytest.fixture(scope="session")
def shared() -> Iterator[Platform]:
    """A platform with the function `probe` at concurrency 10, one worker. Tests leave it as they found it."""
    platform = Platform()
    try:
        platform.start()
        platform.deploy_probe()
        assert platform.get("/@probe/hello").text == "Hello world\n"
        yield platform
    finally:
        platform.destroy()


@pytest.fixture
def make() -> Iterator[Callable[..., Platform]]:
    """Makes platforms that are gone after the test."""
    made: list[Platform] = []

    def make(**flags: tuple[str, ...]) -> Platform:
        platform = Platform(**flags)
        made.append(platform)
        return platform.start()

    yield make
    for platform in made:
        platform.destroy()


@pytest.fixture
def tag() -> str:
    """A name for one test's evidence."""
    return uuid.uuid4().hex[:12]
