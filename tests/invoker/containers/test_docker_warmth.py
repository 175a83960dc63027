"""Workers that are started before anybody asks, and containers that are frozen while nobody does."""

from __future__ import annotations

import asyncio

from dialback_invoker.worker_state import State

from .conftest import Containers, within


async def frozen(containers: Containers) -> None:
    """Waits until the engine says that a container is paused."""
    async with asyncio.timeout(5):
        while not await asyncio.to_thread(containers.found, status="paused"):
            await asyncio.sleep(0.02)


async def test_an_idle_container_is_frozen_and_thawed_by_the_next_request(containers: Containers) -> None:
    pool = containers.pool(idle_seconds=0.05, pause_idle=True)
    first = await containers.run(pool, "import builtins; builtins.seen = 1; result = os.getpid()")
    await frozen(containers)
    assert await containers.run(pool, "result = [os.getpid(), seen]") == [first, 1]
    assert len(pool.workers) == 1


async def test_many_requests_at_once_thaw_a_container_once(containers: Containers) -> None:
    pool = containers.pool(idle_seconds=0.05, pause_idle=True, concurrency=10, max_workers=1)
    for _ in range(5):
        results = await asyncio.gather(*(containers.run(pool, "result = 'here'") for _ in range(5)))
        assert results == ["here"] * 5
        await frozen(containers)


async def test_a_frozen_container_is_stopped_like_any_other(containers: Containers) -> None:
    pool = containers.pool(idle_seconds=0.05, pause_idle=True)
    await containers.run(pool, "result = 1")
    await frozen(containers)
    await pool.retire()
    await within(pool.closed(), 10.0)
    assert containers.found() == []


async def test_a_frozen_container_can_be_killed_from_outside(containers: Containers) -> None:
    pool = containers.pool(idle_seconds=0.05, pause_idle=True)
    await containers.run(pool, "result = 1")
    await frozen(containers)
    await asyncio.to_thread(containers.client.remove_container, containers.found()[0]["Id"], force=True)
    await containers.until(lambda: not pool.workers)
    assert await containers.run(pool, "result = 2") == 2


async def test_a_stop_kills_frozen_containers_within_bounds(containers: Containers) -> None:
    pool = containers.pool(idle_seconds=0.05, pause_idle=True)
    await containers.run(pool, "result = 1")
    await frozen(containers)
    await within(pool.stop(0), 8.0)
    assert containers.found() == []


async def test_warm_containers_are_there_before_anybody_asks_and_stay(containers: Containers) -> None:
    pool = containers.pool(warm=2, idle_seconds=0.05)
    pool.warm_up()
    await containers.until(lambda: [worker.state for worker in pool.workers] == [State.READY] * 2)
    names = {worker.id for worker in pool.workers}
    assert await containers.run(pool, "result = context.log_stream_name") in names
    await asyncio.sleep(0.2)
    assert {worker.id for worker in pool.workers} == names


async def test_a_warm_container_that_dies_is_replaced(containers: Containers) -> None:
    pool = containers.pool(warm=1)
    pool.warm_up()
    await containers.until(lambda: [worker.state for worker in pool.workers] == [State.READY])
    gone = pool.workers[0].id
    await asyncio.to_thread(containers.client.kill, containers.found()[0]["Id"])
    await containers.until(lambda: [w.state for w in pool.workers if w.id != gone] == [State.READY])
