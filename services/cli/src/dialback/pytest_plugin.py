"""Fixtures for whoever has `dialback` installed: a whole platform on free ports.

    def test_it_streams(dialback_platform):
        function = dialback_platform.deploy("functions/chat")
        with function.stream("POST", "ask", json={"say": "hi"}) as response:
            assert next(response.iter_text())
        assert function.trace(response).verdict == "cancelled"

Nothing is imported or started before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dialback.testing import TestPlatform


@pytest.fixture(scope="session")
def dialback_platform() -> Iterator[TestPlatform]:
    """One platform for all tests of a session; stopped at its end, and nothing of it is left."""
    from dialback.testing import TestPlatform

    with TestPlatform() as platform:
        yield platform


@pytest.fixture
def dialback_platforms() -> Iterator[Callable[..., TestPlatform]]:
    """Makes platforms of this test's own: `dialback_platforms("--buffering-proxy")`; flags are those of `up`."""
    from dialback.testing import TestPlatform

    made: list[TestPlatform] = []

    def make(*flags: str) -> TestPlatform:
        platform = TestPlatform(*flags)
        made.append(platform)
        return platform.start()

    yield make
    for platform in made:
        platform.stop()
