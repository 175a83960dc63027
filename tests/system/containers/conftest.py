"""Platforms whose functions run in containers."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.docker_engine import connect, needs_an_engine

from ..conftest import own_functions
from ..platform import Platform


@pytest.fixture(scope="session")
def client() -> Iterator[Any]:
    """The engine as another tool sees it."""
    needs_an_engine()
    found = connect()
    yield found
    found.close()


@pytest.fixture
def place(contained: Platform) -> Iterator[Callable[..., str]]:
    """Deploys functions of the test's own, by default a probe, on the platform that all share; answers the name."""
    yield from own_functions(contained)


@pytest.fixture
def start(client: Any) -> Iterator[Callable[..., Platform]]:
    """Starts platforms; each leaves nothing at the engine when it is stopped."""
    made: list[Platform] = []

    def start(**options: Any) -> Platform:
        platform = Platform(launcher="docker", **options)
        made.append(platform)
        return platform.start()

    yield start
    for platform in made:
        mark = platform.mark
        try:
            platform.stop()
            assert platform.containers(client) == []
            assert client.networks(filters={"label": f"dialback.platform={mark}"}) == []
        finally:
            platform.destroy()
