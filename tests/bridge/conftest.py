"""Fixtures of the bridge's tests."""

from collections.abc import AsyncIterator

import pytest

from .fakes import Platform, platform


@pytest.fixture
async def bench() -> AsyncIterator[Platform]:
    """A fake runtime API and a fake receiver, waiting for a worker."""
    async with platform() as made:
        yield made
