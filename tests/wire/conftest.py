"""Every scenario runs on both carriers, with whole writes and with single bytes."""

from collections.abc import Iterator

import pytest

from .notes import ILLEGAL
from .pair import Pair


@pytest.fixture(params=["link", "socket"])
def carrier(request: pytest.FixtureRequest) -> str:
    """Which kind of carrier joins the two ends."""
    return str(request.param)


@pytest.fixture(params=[None, 1], ids=["whole", "bytewise"])
def chop(request: pytest.FixtureRequest) -> int | None:
    """How many bytes the carrier delivers at once."""
    value: int | None = request.param
    return value


@pytest.fixture
def pair(carrier: str, chop: int | None) -> Pair:
    """Two ends that have greeted each other."""
    return Pair(carrier, chop)


@pytest.fixture(autouse=True)
def _no_illegal_calls() -> Iterator[None]:
    ILLEGAL.clear()
    yield
    assert ILLEGAL == []
