"""What ended invocations leave behind in their worker."""

from collections.abc import Callable

import pytest

from .platform import FUNCTIONS, Platform

pytestmark = pytest.mark.system


def test_an_ended_invocation_is_freed_without_the_garbage_collector(make: Callable[..., Platform]) -> None:
    platform = make()
    platform.deploy(FUNCTIONS / "garbage", "garbage", max_workers=1)
    platform.get("/@garbage/hold")
    for _ in range(100):
        assert platform.get("/@garbage/").text == "0"
    assert int(platform.get("/@garbage/count").text) < 100, "less than an object each"
