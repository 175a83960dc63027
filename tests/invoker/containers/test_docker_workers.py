"""A worker in a container lives as one that is a process does: started, reused, reaped, and explained when it dies."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest

from dialback_invoker.launchers.base import LaunchFailed
from dialback_invoker.lease import WorkerDied
from dialback_invoker.worker_state import State

from .conftest import BOUND, Containers, within


async def test_one_container_serves_many_requests(containers: Containers) -> None:
    pool = containers.pool()
    first = await containers.run(pool, "result = context.log_stream_name")
    second = await containers.run(pool, "result = context.log_stream_name")
    assert first == second == pool.workers[0].id
    assert len(containers.found()) == 1


async def test_a_container_serves_as_many_at_once_as_it_may(containers: Containers) -> None:
    pool = containers.pool(concurrency=3)
    leases = [await containers.lease(pool) for _ in range(3)]
    for lease in leases:
        # Each waits for the others, so none ends unless all three run at once.
        containers.hand(
            lease,
            "import __main__ as m\n"
            "m.gate = vars(m).setdefault('gate', threading.Barrier(3))\n"
            "m.gate.wait(10)\nresult = 'met'",
        )
    answers = [await containers.answer(lease) for lease in leases]
    assert [answer.body for answer in answers] == [b'"met"'] * 3
    for lease in leases:
        lease.release()
    assert len(containers.found()) == 1


async def test_an_idle_container_is_gone_after_its_time(containers: Containers) -> None:
    pool = containers.pool(idle_seconds=0.2)
    await containers.run(pool, "result = 1")
    await containers.until(lambda: not pool.workers)
    assert containers.found() == []


async def test_a_retired_pool_leaves_no_container(containers: Containers) -> None:
    pool = containers.pool()
    await containers.run(pool, "result = 1")
    await pool.retire()
    await within(pool.closed())
    assert containers.found() == []


@pytest.mark.parametrize(
    ("code", "reason", "number"),
    [
        ("os._exit(3)", "exited with status 3", None),
        ("os.kill(os.getpid(), 9)", "was killed by SIGKILL", signal.SIGKILL),
        ("os.abort()", "was killed by SIGABRT", signal.SIGABRT),
    ],
)
async def test_a_death_has_its_reason(containers: Containers, code: str, reason: str, number: int | None) -> None:
    pool = containers.pool()
    lease = await containers.lease(pool)
    containers.hand(lease, f"sys.stderr.write('last words\\n'); sys.stderr.flush()\n{code}")
    died = await containers.answer(lease)
    lease.release()
    assert isinstance(died, WorkerDied)
    assert (died.reason, died.signal, died.oom) == (reason, number, False)
    assert "last words" in [line.line for line in containers.lines]
    await containers.until(lambda: not pool.workers)
    assert await containers.run(pool, "result = 'again'") == "again"


async def test_a_container_that_is_killed_from_outside_is_noticed_at_once(containers: Containers) -> None:
    pool = containers.pool()
    lease = await containers.lease(pool)
    containers.hand(lease, "time.sleep(60)")
    await containers.until(lambda: pool.workers[0].state is State.BUSY)
    await asyncio.to_thread(containers.client.kill, containers.found()[0]["Id"])
    died = await within(asyncio.shield(lease.result), 3.0)
    lease.release()
    assert died.reason == "was killed by SIGKILL"


async def test_a_container_that_is_removed_from_outside_is_noticed_too(containers: Containers) -> None:
    pool = containers.pool()
    await containers.run(pool, "result = 1")
    await asyncio.to_thread(containers.client.remove_container, containers.found()[0]["Id"], force=True)
    await containers.until(lambda: not pool.workers)
    assert await containers.run(pool, "result = 2") == 2


async def test_too_much_memory_is_said_to_be_that(containers: Containers) -> None:
    pool = containers.pool(spec={"memory_mb": 64})
    lease = await containers.lease(pool)
    containers.hand(lease, "hoard = bytearray(200_000_000)\nresult = len(hoard)")
    died = await containers.answer(lease)
    lease.release()
    assert died.oom
    assert died.reason == "was killed: it used more than its 64 MB of memory"
    await containers.until(lambda: not pool.workers)
    assert await containers.run(pool, "result = 'again'") == "again"


async def test_a_worker_that_ignores_sigterm_is_killed_within_bounds(containers: Containers) -> None:
    pool = containers.pool()
    lease = await containers.lease(pool)
    containers.hand(
        lease,
        "import signal\n"
        "subprocess.Popen(['/bin/sh', '-c', 'trap \"\" TERM; while :; do sleep 1; done'], start_new_session=True)\n"
        "time.sleep(60)",
    )
    await containers.until(lambda: pool.workers[0].state is State.BUSY)
    stopping = asyncio.ensure_future(pool.stop(0.1))
    await within(stopping, 10.0)
    lease.release()
    assert containers.found() == []


async def test_output_of_the_function_its_children_and_the_interpreter_is_captured(containers: Containers) -> None:
    pool = containers.pool()
    await containers.run(
        pool,
        "print('printed')\n"
        "subprocess.run(['/bin/sh', '-c', 'echo from a child; echo its trouble > /dev/stderr'], check=True)",
    )
    await containers.until(lambda: len(containers.lines) >= 3)
    said = {(line.stream, line.line) for line in containers.lines}
    assert {("stdout", "printed"), ("stdout", "from a child"), ("stderr", "its trouble")} <= said
    assert next(line for line in containers.lines if line.line == "printed").invocation


async def test_memory_and_pid_of_a_worker_can_be_seen(containers: Containers) -> None:
    pool = containers.pool()
    await containers.run(pool, "result = 1")
    worker = pool.workers[0]
    assert worker.rss() > 5_000_000
    assert worker.pid is not None
    os.kill(worker.pid, 0)


async def test_a_function_that_cannot_be_loaded_fails_with_its_own_words(containers: Containers) -> None:
    pool = containers.pool(spec={"entry": "app:nothing"})
    with pytest.raises(LaunchFailed) as caught:
        await containers.lease(pool)
    assert caught.value.code == "init_error"
    assert "nothing" in str(caught.value)
    await containers.until(lambda: not pool.workers)
    assert containers.found() == []


async def test_a_launch_that_is_cancelled_leaves_nothing(containers: Containers) -> None:
    pool = containers.pool(start_seconds=0.05)
    with pytest.raises(LaunchFailed) as caught:
        await containers.lease(pool)
    assert caught.value.code == "start_timeout"
    await containers.until(lambda: not pool.workers)
    assert containers.found() == []


async def test_a_network_is_made_for_the_first_worker_and_goes_with_the_last(containers: Containers) -> None:
    pool = containers.pool(spec={"network": "outside"})
    leases = [await containers.lease(pool) for _ in range(2)]
    (network,) = containers.networks()
    assert network["Options"]["com.docker.network.bridge.enable_icc"] == "false"
    for lease in leases:
        lease.release()
    await within(pool.stop(0))
    # The engine may hold on to it for a moment; it is then removed at the next attempt.
    async with asyncio.timeout(BOUND):
        while containers.networks():
            await asyncio.sleep(0.1)


async def test_twenty_deaths_leave_no_task_no_thread_and_no_descriptor(containers: Containers) -> None:
    """Two hundred, and what clients see of them, are in tests/system/containers/test_many_deaths.py."""
    pool = containers.pool()

    async def four_deaths() -> tuple[int, int, int]:
        """What there is when they are over."""
        leases = [await containers.lease(pool) for _ in range(4)]
        for lease in leases:
            containers.hand(lease, "os._exit(1)")
        for lease in leases:
            assert isinstance(await containers.answer(lease), WorkerDied)
            lease.release()
        await containers.until(lambda: not pool.workers)
        while len(asyncio.all_tasks()) > 1 and containers.found():
            await asyncio.sleep(0.02)
        return len(asyncio.all_tasks()), threading.active_count(), len(os.listdir("/proc/self/fd"))

    before = max([await four_deaths() for _ in range(2)])
    for _ in range(5):
        after = await four_deaths()
    # The `docker` package keeps a connection to each of the last 25 addresses that it asked.
    allowed = (before[0], before[1] + 8, before[2] + 25)
    assert all(count <= most for count, most in zip(after, allowed, strict=True)), f"{before} became {after}"
