"""The pool with real workers: who gets which slot, what is launched, what is stopped."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
from typing import Any

import pytest
from tests.invoker.workers.conftest import Platform, within

from dialback_invoker.errors import Overloaded
from dialback_invoker.launchers.base import LaunchFailed
from dialback_invoker.lease import Lease, Response, WorkerDied
from dialback_invoker.runtime_api import FunctionError


class FakeClock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Any, tuple[Any, ...]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Any, *args: Any) -> Any:
        entry = (self.now + delay, callback, args)
        self.timers.append(entry)

        class Handle:
            def cancel(_) -> None:
                if entry in self.timers:
                    self.timers.remove(entry)

        return Handle()

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for entry in [entry for entry in self.timers if entry[0] <= self.now]:
            self.timers.remove(entry)
            entry[1](*entry[2])


def silent(_: str) -> None: ...


async def test_the_first_request_starts_a_worker_and_the_next_reuses_it(platform: Platform) -> None:
    pool = platform.pool()
    marks: list[str] = []
    lease = await within(pool.lease(marks.append))
    assert marks == ["queued", "worker_start", "worker_spawned", "worker_ready"]
    assert lease.cold
    assert (await platform.ask(lease, do="echo")) == Response(b'{"do": "echo"}')
    assert marks[-1] == "payload_handed"
    lease.release()
    lease.release()
    again: list[str] = []
    warm = await within(pool.lease(again.append))
    assert (warm.cold, again, warm.worker) == (False, [], lease.worker)
    warm.release()
    assert lease.worker.served == 2
    assert [state for _, state in platform.states] == ["ready", "busy", "idle", "busy", "idle"]


async def test_an_error_of_the_function_leaves_the_worker_warm(platform: Platform) -> None:
    pool = platform.pool()
    lease = await platform.take(pool)
    answer = await platform.ask(lease, do="nonsense")
    assert answer == FunctionError("ValueError", "no such command: nonsense", ("here",))
    lease.release()
    assert await platform.call(pool) == {}
    assert len(pool.workers) == 1


async def test_one_worker_is_filled_before_another_is_started(platform: Platform) -> None:
    pool = platform.pool(concurrency=3)
    first = await platform.take(pool)
    leases = [first, await platform.take(pool), await platform.take(pool)]
    assert len(pool.workers) == 1
    assert pool.in_flight == 3
    fourth = await platform.take(pool)
    assert len(pool.workers) == 2
    assert fourth.worker is not first.worker
    for lease in (*leases, fourth):
        lease.release()
    assert (await platform.take(pool)).worker is fourth.worker  # the most recently used


async def test_several_invocations_run_at_once_in_one_worker(platform: Platform) -> None:
    pool = platform.pool(concurrency=2)
    holding, releasing = await platform.take(pool), await platform.take(pool)
    platform.hand(holding, do="hold")
    assert isinstance(await platform.ask(releasing, do="go"), Response)
    assert isinstance(await within(holding.result), Response)
    assert holding.worker is releasing.worker
    holding.release()
    releasing.release()


async def test_a_payload_may_wait_for_the_next_poll(platform: Platform) -> None:
    pool = platform.pool(concurrency=8)  # the stand-in polls four at a time
    leases = [await platform.take(pool) for _ in range(8)]
    answers = await asyncio.gather(*(platform.ask(lease, n=n) for n, lease in enumerate(leases)))
    assert [json.loads(answer.body)["n"] for answer in answers] == list(range(8))  # type: ignore[union-attr]
    for lease in leases:
        lease.release()


async def test_who_waits_is_served_in_order(platform: Platform) -> None:
    pool = platform.pool(max_workers=1)
    lease = await platform.take(pool)
    order: list[int] = []

    async def wait(number: int) -> None:
        got = await pool.lease(silent)
        order.append(number)
        await platform.ask(got)
        got.release()

    tasks = [asyncio.create_task(wait(number)) for number in range(5)]
    await asyncio.sleep(0)
    assert pool.waiting == 5
    lease.release()
    await within(asyncio.gather(*tasks))
    assert order == [0, 1, 2, 3, 4]
    assert len(pool.workers) == 1


async def test_no_more_workers_are_started_than_those_who_wait_can_fill(platform: Platform) -> None:
    pool = platform.pool(max_workers=8, concurrency=4)
    leases = await within(asyncio.gather(*(pool.lease(silent) for _ in range(9))))
    assert len(pool.workers) == 3
    for lease in leases:
        lease.release()


async def test_a_waiter_that_leaves_causes_no_launch(platform: Platform) -> None:
    pool = platform.pool(max_workers=1)
    lease = await platform.take(pool)
    waiter = asyncio.create_task(pool.lease(silent))
    await asyncio.sleep(0)
    assert pool.waiting == 1
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert pool.waiting == 0
    await within(lease.worker.kill())
    lease.release()
    await platform.until(lambda: not pool.workers)
    assert len({worker for worker, _ in platform.states}) == 1


async def test_a_worker_started_for_nobody_becomes_idle(platform: Platform) -> None:
    pool = platform.pool()
    waiter = asyncio.create_task(pool.lease(silent))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    await platform.until(lambda: pool.workers[0].state.value == "ready")
    assert (await platform.take(pool)).worker is pool.workers[0]


async def test_a_waiter_cancelled_when_its_turn_has_come_gives_the_slot_back(platform: Platform) -> None:
    pool = platform.pool(max_workers=1)
    lease = await platform.take(pool)
    waiter = asyncio.create_task(pool.lease(silent))
    await asyncio.sleep(0)
    lease.release()  # the waiter has the slot now, and does not know it yet
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert pool.in_flight == 0
    (await platform.take(pool)).release()


async def test_a_slot_is_free_when_both_sides_are_done(platform: Platform) -> None:
    pool = platform.pool(max_workers=1)
    busy = await platform.take(pool)
    platform.hand(busy, do="hold")
    await platform.until(lambda: busy.taken)
    busy.release()  # the client left; the handler runs on
    assert pool.in_flight == 1
    waiter = asyncio.create_task(pool.lease(silent))
    await asyncio.sleep(0)
    assert pool.waiting == 1
    busy.worker.response(busy.invocation, b"late")
    lease = await within(waiter)
    assert await busy.result == Response(b"late")
    assert busy.worker.response(busy.invocation, b"later still")
    assert not busy.worker.response("never", b"")
    lease.release()


async def test_a_payload_not_yet_taken_is_taken_back(platform: Platform) -> None:
    pool = platform.pool(concurrency=5)
    leases = [await platform.take(pool) for _ in range(5)]
    for lease in leases:
        platform.hand(lease, do="hold")
    await platform.until(lambda: all(lease.taken for lease in leases[:4]))
    assert not leases[4].taken  # four polls
    leases[4].release()
    assert pool.in_flight == 4
    released = await platform.take(pool)
    released.release()
    platform.hand(released)  # nobody wants it any more
    assert not released.taken
    for lease in leases[:4]:
        lease.condemn(math.inf)
    for lease in leases[:4]:
        assert isinstance(await within(lease.result), WorkerDied)
        lease.release()


async def test_a_worker_forgets_very_old_invocations(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dialback_invoker.worker.REMEMBERED", 2)
    pool = platform.pool()
    names = []
    for _ in range(3):
        lease = await platform.take(pool)
        names.append(platform.hand(lease))
        await within(lease.result)
        lease.release()
    assert [lease.worker.response(name, b"") for name in names] == [False, True, True]


async def test_scale_to_zero_after_the_idle_time(platform: Platform) -> None:
    clock = FakeClock()
    pool = platform.pool(idle_seconds=30, clock=clock)
    await platform.call(pool)
    clock.advance(29)
    await platform.call(pool)
    clock.advance(29)
    assert pool.workers[0].state.value == "idle"
    worker = pool.workers[0]
    clock.advance(2)
    await platform.until(lambda: not worker.live)
    await within(pool.closed())
    assert pool.workers == []
    assert [state for _, state in platform.states][-4:] == ["retiring", "stopping", "dead", "dead"]  # and gone
    assert worker._running is not None
    assert worker._running.exited.result().code == 0  # it was told 410 and left by itself
    assert await platform.call(pool) == {}  # and from zero


async def test_a_worker_that_ignores_everything_is_stopped(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dialback_invoker.pool.EXIT_GRACE", 0.05)
    monkeypatch.setattr("dialback_invoker.worker.TERMINATE_GRACE", 0.05)
    pool = platform.pool(spec={"entry": "stubborn"})
    lease = await platform.take(pool)
    lease.release()
    await pool.retire()
    await within(pool.closed())
    assert lease.worker._running.exited.result().signal == signal.SIGKILL  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("entry", "code", "message"),
    [
        ("crash", "worker_exited", r"exited with status 3 before it was ready\nImportError: no module named nothing"),
        ("init_error", "init_error", r"hello failed to start: ImportError: no module named nothing\napp.py, line 1"),
    ],
)
async def test_a_function_that_cannot_start_says_why(platform: Platform, entry: str, code: str, message: str) -> None:
    pool = platform.pool(spec={"entry": entry})
    with pytest.raises(LaunchFailed, match=message) as caught:
        await platform.take(pool)
    assert caught.value.code == code
    assert caught.value.http_status == 502
    await within(pool.closed())
    assert any("ImportError" in line.line for line in platform.lines)
    if entry == "init_error":
        assert caught.value.function_error == FunctionError(
            "ImportError", "no module named nothing", ("app.py, line 1",)
        )


async def test_a_runtime_that_stays_after_an_init_error_is_killed(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dialback_invoker.worker.EXIT_AFTER_INIT_ERROR", 0.05)
    pool = platform.pool(spec={"entry": "init_error_stays"})
    with pytest.raises(LaunchFailed, match="nonsense"):
        await platform.take(pool)
    await within(pool.closed())


async def test_a_function_that_never_gets_ready_is_given_up(platform: Platform) -> None:
    pool = platform.pool(spec={"entry": "hang"}, start_seconds=0.3)
    with pytest.raises(LaunchFailed, match=r"not ready within 0\.3 seconds") as caught:
        await platform.take(pool)
    assert caught.value.code == "start_timeout"
    await within(pool.closed())


async def test_a_socket_that_cannot_be_made_is_a_failed_launch(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dialback_invoker.runtime_http.MAX_SOCKET_PATH", 5)
    pool = platform.pool()
    with pytest.raises(LaunchFailed, match="too long"):
        await platform.take(pool)
    await within(pool.closed())


async def test_a_function_that_crashes_at_start_is_not_tried_in_a_hot_loop(platform: Platform) -> None:
    clock = FakeClock()
    pool = platform.pool(spec={"entry": "crash"}, clock=clock)
    waits = []
    for _ in range(8):
        with pytest.raises(LaunchFailed):
            await platform.take(pool)
        started = len({worker for worker, _ in platform.states})
        with pytest.raises(LaunchFailed, match="the next start is tried in") as caught:
            await platform.take(pool)
        assert caught.value.retry_after >= 1
        assert len({worker for worker, _ in platform.states}) == started
        waits.append(round(pool._retry_at - clock.now, 2))
        clock.advance(waits[-1])
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


async def test_everybody_who_waits_for_a_crashing_function_is_told(platform: Platform) -> None:
    pool = platform.pool(spec={"entry": "crash"}, max_workers=2)
    results = await within(asyncio.gather(*(pool.lease(silent) for _ in range(5)), return_exceptions=True))
    assert all(isinstance(result, LaunchFailed) for result in results)
    assert len({id(result) for result in results}) == 5
    assert pool.waiting == 0


async def test_who_waits_is_served_by_living_workers_when_another_start_fails(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = platform.pool(max_workers=2)
    lease = await platform.take(pool)

    async def fails(*_: object) -> None:
        raise LaunchFailed("no room")

    monkeypatch.setattr(platform.launcher, "launch", fails)
    waiter = asyncio.create_task(pool.lease(silent))
    await platform.until(lambda: len({worker for worker, _ in platform.states}) == 2)
    assert pool.waiting == 1
    lease.release()
    (await within(waiter)).release()


async def test_a_launch_is_tried_again_for_those_who_still_wait(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    pool = platform.pool(max_workers=2, clock=clock)
    lease = await platform.take(pool)
    with monkeypatch.context() as patch:

        async def fails(*_: object) -> None:
            raise LaunchFailed("no room")

        patch.setattr(platform.launcher, "launch", fails)
        waiter = asyncio.create_task(pool.lease(silent))
        await platform.until(lambda: len(platform.states) > 2 and platform.states[-1][1] == "dead")
    while not clock.timers:
        await asyncio.sleep(0)
    clock.advance(0.2)
    second = await within(waiter)
    assert second.worker is not lease.worker
    second.release()
    lease.release()


async def test_a_condemned_worker_is_replaced_and_killed_when_the_others_are_done(platform: Platform) -> None:
    pool = platform.pool(max_workers=1, concurrency=2)
    stuck, fine = await platform.take(pool), await platform.take(pool)
    platform.hand(stuck, do="hold")
    await platform.until(lambda: stuck.taken)
    stuck.condemn(math.inf)
    stuck.release()
    other = await platform.take(pool)  # its place is free for a new worker
    assert other.worker is not stuck.worker
    assert isinstance(await platform.ask(fine), Response)
    assert stuck.worker.state.value == "retiring"
    fine.release()
    answer = await within(stuck.result)
    assert isinstance(answer, WorkerDied)
    assert answer.reason == "was killed by the platform"
    other.release()
    stuck.condemn(0)  # of a dead worker: nothing


async def test_a_condemned_worker_is_killed_at_the_deadline_at_the_latest(platform: Platform) -> None:
    pool = platform.pool(concurrency=2)
    stuck, other = await platform.take(pool), await platform.take(pool)
    platform.hand(stuck, do="hold")
    platform.hand(other, do="hold")
    await platform.until(lambda: stuck.taken and other.taken)
    loop = asyncio.get_running_loop()
    stuck.condemn(loop.time() + 50)
    stuck.condemn(loop.time() + 0.05)
    assert isinstance(await within(other.result), WorkerDied)
    stuck.release()
    other.release()


async def test_a_condemned_worker_that_answers_after_all_leaves_in_peace(platform: Platform) -> None:
    pool = platform.pool(concurrency=2)
    slow, other = await platform.take(pool), await platform.take(pool)
    platform.hand(slow, do="hold")
    await platform.until(lambda: slow.taken)
    slow.condemn(asyncio.get_running_loop().time() + 30)
    await platform.ask(other, do="go")
    assert isinstance(await within(slow.result), Response)
    slow.release()
    other.release()
    await within(pool.closed())
    assert slow.worker._running.exited.result().code == 0  # type: ignore[union-attr]


async def test_condemned_workers_do_not_grow_in_number_without_end(platform: Platform) -> None:
    pool = platform.pool(max_workers=1, concurrency=2)
    held = []
    for _ in range(2):
        stuck, busy = await platform.take(pool), await platform.take(pool)
        platform.hand(stuck, do="hold")
        platform.hand(busy, do="hold")
        stuck.condemn(math.inf)
        held += [stuck, busy]
    waiter = asyncio.create_task(pool.lease(silent))
    await asyncio.sleep(0)
    assert len(pool.workers) == 2
    for lease in held:
        lease.condemn(math.inf)
    (await within(waiter)).release()
    for lease in held:
        lease.release()


async def test_a_worker_that_dies_idle_is_replaced_when_it_is_needed(platform: Platform) -> None:
    pool = platform.pool()
    await platform.call(pool)
    first = pool.workers[0]
    os.kill(first.pid or 0, signal.SIGKILL)
    await within(pool.closed())
    assert pool.workers == []
    assert await platform.call(pool) == {}
    assert first.rss() == 0


async def test_a_superseded_deployment_finishes_what_it_has(platform: Platform) -> None:
    pool = platform.pool(max_workers=2)
    busy, free = await platform.take(pool), await platform.take(pool)
    free.release()
    waiting: list[asyncio.Task[Lease]] = []
    platform.hand(busy, do="hold")
    await pool.retire()
    with pytest.raises(Overloaded, match="takes no more requests"):
        await platform.take(pool)
    await platform.until(lambda: len(pool.workers) == 1)
    assert busy.worker.state.value == "retiring"
    busy.worker.response(busy.invocation, b"")
    busy.release()
    await within(pool.closed())
    assert not waiting


async def test_who_waits_when_a_deployment_is_superseded_is_still_served(platform: Platform) -> None:
    pool = platform.pool(max_workers=1)
    busy = await platform.take(pool)
    waiter = asyncio.create_task(pool.lease(silent))
    await asyncio.sleep(0)
    await pool.retire()
    assert busy.worker.state.value == "busy"
    busy.release()
    lease = await within(waiter)
    assert isinstance(await platform.ask(lease), Response)
    lease.release()
    await within(pool.closed())


async def test_a_superseded_deployment_whose_last_waiter_leaves_stops(platform: Platform) -> None:
    pool = platform.pool(max_workers=1)
    waiter = asyncio.create_task(pool.lease(silent))
    await asyncio.sleep(0)
    await pool.retire()
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    await within(pool.closed())


async def test_stop_lets_leases_end_within_the_grace(platform: Platform) -> None:
    pool = platform.pool(max_workers=1)
    lease = await platform.take(pool)
    waiter = asyncio.create_task(pool.lease(silent))
    await asyncio.sleep(0)
    stopping = asyncio.create_task(pool.stop(10))
    with pytest.raises(Overloaded, match="being stopped"):
        await within(waiter)
    assert isinstance(await platform.ask(lease), Response)
    lease.release()
    await within(stopping)
    assert lease.worker._running.exited.result().code == 0  # type: ignore[union-attr]


async def test_stop_kills_what_is_left_after_the_grace(platform: Platform) -> None:
    pool = platform.pool()
    lease = await platform.take(pool)
    platform.hand(lease, do="hold")
    await within(pool.stop(0.05))
    assert isinstance(await lease.result, WorkerDied)
    lease.release()


@pytest.mark.parametrize("ticks", [0, 1, 3])
async def test_stop_during_a_launch_leaves_nothing(platform: Platform, ticks: int) -> None:
    pool = platform.pool()
    waiter = asyncio.create_task(pool.lease(silent))
    await asyncio.sleep(0)
    for _ in range(ticks):
        await asyncio.sleep(0)
    await within(pool.stop(5))
    with pytest.raises(Overloaded):
        await waiter
    assert pool.workers == []
    folder = platform.launcher.run_dir / "workers"
    assert not folder.exists() or list(folder.iterdir()) == []
