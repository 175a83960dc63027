"""The edge's tests run on uvloop, as the edge does, against an invoker that each test plays by hand."""

import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

sys.path.insert(0, str(Path(__file__).parent))

from edge_kit import Front


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], object]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    """A front on a free port with an invoker in memory; a test may set other settings before its first client."""
    front = Front()
    yield front
    await front.stop()
