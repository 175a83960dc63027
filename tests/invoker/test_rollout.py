"""A version serves once it has started, and not before."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dialback_invoker.deployment import Deployment
from dialback_invoker.errors import LaunchFailed
from dialback_invoker.function_config import FunctionConfig, Timeouts
from dialback_invoker.registry import Registry
from dialback_invoker.rollout import Rollout, patient


class FakePool:
    def __init__(self) -> None:
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def warm(self) -> None:
        await self.started


class FakePools:
    def __init__(self) -> None:
        self.pools: dict[str, FakePool] = {}
        self.retired: list[str] = []
        self.discarded: list[str] = []

    def of(self, deployment: Deployment) -> FakePool:
        return self.pools.setdefault(deployment.id, FakePool())

    def retire(self, deployment: Deployment) -> None:
        self.retired.append(deployment.id)

    def discard(self, deployment: Deployment) -> None:
        self.discarded.append(deployment.id)
        self.pools.pop(deployment.id, None)


def version(id: str, **config: Any) -> Deployment:
    return Deployment(id, "fn", "0" * 64, "asgi", "app:app", FunctionConfig(**config), 0.0)


@pytest.fixture
async def pools() -> FakePools:
    return FakePools()


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def rollout(registry: Registry, pools: Any) -> Rollout:
    made = Rollout(registry, pools, lambda deployment: deployment)
    made.listen()
    return made


async def tick() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def started(pools: FakePools, id: str) -> None:
    await tick()
    pools.pools[id].started.set_result(None)
    await tick()


async def failed(pools: FakePools, id: str) -> None:
    await tick()
    pools.pools[id].started.set_exception(LaunchFailed("no"))
    await tick()


def serving(rollout: Rollout) -> str:
    found = rollout.serving("fn")
    return "" if found is None else found.id


async def test_the_first_version_is_waited_for_and_a_later_one_serves_when_it_has_started(
    rollout: Rollout, registry: Registry, pools: FakePools
) -> None:
    registry.activate(version("one"))
    found = rollout.resolve("FN")
    assert found is not None, "who asks while it starts waits for it"
    assert found.id == "one"
    assert serving(rollout) == ""
    await started(pools, "one")
    registry.activate(version("two"))
    await tick()
    assert serving(rollout) == "one"
    await started(pools, "two")
    assert (serving(rollout), pools.retired) == ("two", ["one"])
    assert await rollout.settle("fn") is None


async def test_a_version_that_cannot_start_leaves_the_one_before_and_is_tried_again_when_asked(
    rollout: Rollout, registry: Registry, pools: FakePools
) -> None:
    registry.activate(version("one"))
    await started(pools, "one")
    registry.activate(version("two"))
    settled = asyncio.create_task(rollout.settle("fn"))
    await failed(pools, "two")
    error = await settled
    assert error is not None
    assert error.message == "no"
    assert (serving(rollout), pools.discarded, pools.retired) == ("one", ["two"], [])
    again = asyncio.create_task(rollout.settle("fn"))
    await started(pools, "two")
    assert await again is None
    assert serving(rollout) == "two"


async def test_a_later_version_takes_the_place_of_one_that_still_starts(
    rollout: Rollout, registry: Registry, pools: FakePools
) -> None:
    registry.activate(version("one"))
    waiting = asyncio.create_task(rollout.settle("fn"))
    await tick()
    registry.activate(version("two"))
    error = await waiting
    assert error is not None
    assert error.code == "superseded"
    assert pools.discarded == ["one"]
    await started(pools, "two")
    assert serving(rollout) == "two"


async def test_without_a_good_version_nobody_serves(rollout: Rollout, registry: Registry, pools: FakePools) -> None:
    assert await rollout.settle("fn") is None
    registry.activate(version("one"))
    await failed(pools, "one")
    assert rollout.resolve("fn") is None


async def test_who_gives_up_waiting_stops_nothing(rollout: Rollout, registry: Registry, pools: FakePools) -> None:
    registry.activate(version("one"))
    waiting = asyncio.create_task(rollout.settle("fn"))
    await tick()
    waiting.cancel()
    await tick()
    assert waiting.cancelled()
    await started(pools, "one")
    assert serving(rollout) == "one"


async def test_a_function_that_is_removed_serves_no_more(
    rollout: Rollout, registry: Registry, pools: FakePools
) -> None:
    registry.activate(version("one"))
    await started(pools, "one")
    registry.activate(version("two"))
    await tick()
    registry.remove("fn")
    assert rollout.resolve("fn") is None
    assert sorted(pools.retired) == ["one", "two"]
    registry.remove("fn")


def test_patience_takes_away_time_outs_and_keeps_one_worker() -> None:
    config = patient(version("one", timeouts=Timeouts(start=1, head=2, idle=3, total=4), max_workers=7)).config
    assert config.timeouts.model_dump() == {"start": 0, "head": 0, "idle": 0, "total": 0}
    assert config.max_workers == 1
    assert config.idle_seconds > 86_400
