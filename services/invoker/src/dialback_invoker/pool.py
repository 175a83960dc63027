"""The workers of one deployment: who waits, who serves, when another is started and when one goes.

- FIFO. A waiter gets a slot of the most recently used warm worker; only when no slot is free a worker is launched,
  and no more of them than those who wait can fill.
- A waiter that is cancelled leaves the queue and causes no launch; a worker that is being started for nobody becomes
  idle.
- A function that dies at its start again and again is launched at growing intervals, 5 seconds at most; meanwhile
  requests fail at once with the reason.
- An idle worker is stopped after ``idle_seconds``: scale to zero. ``warm`` of them are started before anybody asks and
  stay; with ``pause_idle`` they are all frozen instead, where the launcher can, until somebody does ask.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from dialback_invoker.errors import Overloaded
from dialback_invoker.launchers.base import Launcher, LaunchFailed, OnLog, WorkerSpec
from dialback_invoker.lease import Lease, Mark
from dialback_invoker.worker import OnWorker, Worker
from dialback_invoker.worker_state import SERVING, State

FIRST_BACKOFF = 0.1
MAX_BACKOFF = 5.0
WARM_ATTEMPTS = 5
"""Failed starts in a row after which only a request makes another one."""
EXIT_GRACE = 2.0
"""Seconds that an idle worker has to exit after its poll was answered with 410."""


OnStart = Callable[[str, str], None]
"""Told of each start that is over: the function, and `ready` or the code of the failure."""


class Timer(Protocol):
    """What call_later gives back."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Monotonic time and timers; an event loop is one."""

    def time(self) -> float: ...

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer: ...


class _Waiter:
    """Somebody in the queue."""

    __slots__ = ("future", "launching", "mark")

    def __init__(self, mark: Mark) -> None:
        self.mark = mark
        self.future: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        self.launching = False

    def tell(self, name: str) -> None:
        """Marks a step of the worker that is started for this waiter, as long as it waits."""
        if not self.future.done():
            self.mark(name)


class Pool:
    """All workers of one deployment."""

    def __init__(
        self,
        spec: WorkerSpec,
        launcher: Launcher,
        *,
        max_workers: int,
        concurrency: int,
        idle_seconds: float,
        warm: int = 0,
        pause_idle: bool = False,
        start_seconds: float = 10.0,
        on_log: OnLog,
        on_change: OnWorker | None = None,
        on_start: OnStart | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.spec = spec
        self.workers: list[Worker] = []
        """Every worker that is not quite gone, by start. on_change tells each step, and once more when it is gone."""
        self._launcher = launcher
        self._max_workers = max_workers
        self._concurrency = concurrency
        self._idle_seconds = idle_seconds
        self._keep = warm
        self._pause_idle = pause_idle
        self._start_seconds = start_seconds
        self._on_log = on_log
        self._on_change = on_change
        self._on_start = on_start
        self._clock: Clock = clock or asyncio.get_running_loop()
        self._waiters: OrderedDict[_Waiter, None] = OrderedDict()
        self._warm: OrderedDict[Worker, None] = OrderedDict()
        """Workers that serve, the most recently used last."""
        self._idle_timers: dict[Worker, Timer] = {}
        self._launches: dict[Worker, asyncio.Task[None]] = {}
        self._ends: dict[Worker, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._failure: LaunchFailed | None = None
        self._retry_at = 0.0
        self._retry_timer: Timer | None = None
        self._retired = False
        self._pumping = False
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def waiting(self) -> int:
        """Requests without a slot."""
        return len(self._waiters)

    @property
    def in_flight(self) -> int:
        """Slots in use."""
        return sum(worker.in_flight for worker in self.workers)

    def lease_now(self, mark: Mark, *, least_loaded: bool = False) -> Lease | None:
        """A slot of a warm worker, or None when one must be waited for. Raises Overloaded when the pool is retired.

        The most recently used worker is taken, so that others become idle; or the one that has least to do.
        """
        if self._retired:
            raise Overloaded(f"this deployment of {self.spec.function} takes no more requests", code="retired")
        if not self._waiters and (worker := self._free_worker(least_loaded)) is not None:
            return self._take(worker, mark)
        return None

    async def lease(self, mark: Mark) -> Lease:
        """A slot of a worker, when there is one. Raises LaunchFailed, or Overloaded when the pool is retired.

        ``mark`` is told "queued", "worker_start", "worker_spawned", "worker_ready", as they happen: the middle two
        only if a worker is started for this request. Cancelling leaves the queue.
        """
        ready = self.lease_now(mark)
        if ready is not None:
            return ready
        self._check_backoff()
        waiter = _Waiter(mark)
        self._waiters[waiter] = None
        mark("queued")
        self._pump()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled() and waiter.future.exception() is None:
                waiter.future.result().release()
            self._waiters.pop(waiter, None)
            self._settle_all()
            raise

    def warm_up(self) -> None:
        """Starts what is to be kept warm. Does not wait."""
        self._pump()

    async def warm(self) -> None:
        """Return when a worker is ready, starting one if there is none. Raises LaunchFailed, or Overloaded when the
        pool is retired.
        """
        (await self.lease(lambda _: None)).release()

    async def retire(self) -> None:
        """The deployment was superseded: no new requests; who waits is still served, then the workers stop. Does
        not wait.
        """
        self._retired = True
        self._settle_all()

    async def stop(self, grace: float, *, code: str = "stopping") -> None:
        """Lets leases end for ``grace`` seconds, then kills. Who waits is refused at once, with ``code``. Returns when
        nothing is left.
        """
        self._retired = True
        self._refuse_all(lambda: Overloaded(f"{self.spec.function} is being stopped", code=code))
        for task in tuple(self._launches.values()):
            task.cancel()
        self._settle_all()
        try:
            async with asyncio.timeout(grace):
                await self._empty.wait()
        except TimeoutError:
            await asyncio.gather(*(worker.kill() for worker in tuple(self.workers)))
        await self.closed()

    def let_go(self) -> None:
        """Tells the launcher that hardly any worker of this will be started any more."""
        self._launcher.let_go(self.spec)

    async def closed(self) -> None:
        """Waits until no worker, process or folder is left: the end of `retire`."""
        await self._empty.wait()
        if self._retry_timer is not None:
            self._retry_timer.cancel()

    # choosing

    def _free_worker(self, least_loaded: bool = False) -> Worker | None:
        if least_loaded:
            free = [worker for worker in self._warm if worker.available]
            return min(free, key=lambda worker: worker.in_flight, default=None)
        for worker in reversed(self._warm):
            if worker.available:
                return worker
        return None

    def _take(self, worker: Worker, mark: Mark) -> Lease:
        self._warm.move_to_end(worker)
        return worker.lease(mark)

    def _pump(self) -> None:
        """Gives free slots to waiters, then launches for those who are left."""
        if self._pumping:
            return  # a lease changes its worker, and a changed worker comes back here
        self._pumping = True
        try:
            while self._waiters and (worker := self._free_worker()) is not None:
                waiter, _ = self._waiters.popitem(last=False)
                if not waiter.future.done():
                    waiter.future.set_result(self._take(worker, waiter.mark))
            for _ in range(self._launches_wanted()):
                self._launch(next((w for w in self._waiters if not w.launching), None))
        finally:
            self._pumping = False
        self._settle_all()

    def _launches_wanted(self) -> int:
        if self._clock.time() < self._retry_at:
            return 0
        live = sum(worker.live for worker in self.workers)
        wanted = -(-len(self._waiters) // self._concurrency) - len(self._launches)
        if not self._retired and self._failures < WARM_ATTEMPTS:
            wanted = max(wanted, self._keep - live)
        # workers that were condemned and still hold leases may be replaced, but not without end
        return min(wanted, self._max_workers - live, 2 * self._max_workers - len(self.workers))

    # launching

    def _launch(self, waiter: _Waiter | None) -> None:
        worker = Worker(
            self.spec,
            self._launcher,
            concurrency=self._concurrency,
            on_log=self._on_log,
            on_change=self._changed,
        )
        if waiter is not None:
            waiter.launching = True
        self.workers.append(worker)
        self._empty.clear()
        task = asyncio.get_running_loop().create_task(self._start(worker, waiter))
        self._launches[worker] = task
        task.add_done_callback(lambda _: self._launched(worker))

    async def _start(self, worker: Worker, waiter: _Waiter | None) -> None:
        mark: Mark = waiter.tell if waiter is not None else lambda _: None
        try:
            await worker.start(mark, self._start_seconds)
        except LaunchFailed as error:
            self._tell_start(error.code)
            self._launch_failed(worker, error)
        else:
            self._tell_start("ready")
            self._launcher.started(self.spec)
            self._failures = 0
            self._failure = None

    def _tell_start(self, result: str) -> None:
        if self._on_start is not None:
            self._on_start(self.spec.function, result)

    def _launched(self, worker: Worker) -> None:
        """The launch is over, one way or the other."""
        del self._launches[worker]
        if worker.state is State.DEAD:
            self._end(worker, worker.gone())
        elif worker.state is State.STARTING:  # cancelled before it began
            self._end(worker, worker.kill())
        else:
            self._settle(worker)
        self._pump()

    def _launch_failed(self, worker: Worker, error: LaunchFailed) -> None:
        delay = min(MAX_BACKOFF, FIRST_BACKOFF * 2.0**self._failures)
        self._failures = min(self._failures + 1, 16)
        self._failure = error
        self._retry_at = self._clock.time() + delay
        if not any(other.live for other in self.workers if other is not worker):
            self._refuse_all(error.again)
        if self._retry_timer is not None:
            self._retry_timer.cancel()
        self._retry_timer = self._clock.call_later(delay, self._pump)

    def _check_backoff(self) -> None:
        """Raises the last failure again while no launch will be tried and no worker lives."""
        left = self._retry_at - self._clock.time()
        if self._failure is not None and left > 0 and not any(worker.live for worker in self.workers):
            raise self._failure.again(f"(the next start is tried in {left:.1f} s)", max(1, round(left)))

    def _refuse_all(self, make_error: Callable[[], Exception]) -> None:
        waiters, self._waiters = self._waiters, OrderedDict()
        for waiter in waiters:
            if not waiter.future.done():
                waiter.future.set_exception(make_error())

    # a worker's life

    def _changed(self, worker: Worker) -> None:
        """A worker went from one state to another, or freed a slot."""
        state = worker.state
        if state is State.BUSY and worker not in self._idle_timers:
            # A slot was taken or freed, and others are in use: on every request's way.
            if self._on_change is not None:
                self._on_change(worker)
            if self._waiters and worker.available:
                self._pump()
            return
        if state in (State.READY, State.IDLE):
            self._warm[worker] = None
        elif state is not State.BUSY:
            self._warm.pop(worker, None)
        if (timer := self._idle_timers.pop(worker, None)) is not None:
            timer.cancel()
        if self._on_change is not None:
            self._on_change(worker)
        if state is State.DEAD and worker not in self._launches:
            self._end(worker, worker.gone())
        self._settle(worker)
        if worker.available or state is State.DEAD:
            self._pump()

    def _settle(self, worker: Worker) -> None:
        """Stops a free worker that is to go; sets the alarm of one that is idle."""
        if worker.leases or worker in self._launches:
            return
        going = self._retired and not self._waiters
        if worker.state is State.CONDEMNED or (going and worker.state in (State.READY, State.IDLE)):
            self._end(worker, worker.stop(EXIT_GRACE))
        elif worker.state in (State.READY, State.IDLE) and worker not in self._idle_timers:
            self._idle_timers[worker] = self._clock.call_later(self._idle_seconds, self._reap, worker)

    def _settle_all(self) -> None:
        if self._retired and not self._waiters:
            for worker in tuple(self.workers):
                if worker.state is State.BUSY:
                    worker.condemn()
                else:
                    self._settle(worker)

    def _reap(self, worker: Worker) -> None:
        """It was idle for long enough."""
        self._idle_timers.pop(worker, None)
        if worker.state not in (State.READY, State.IDLE):
            return
        if self._pause_idle:
            self._spawn(worker.pause())
        elif sum(other.state in SERVING for other in self.workers) > self._keep:
            worker.condemn()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end(self, worker: Worker, work: Coroutine[Any, Any, None]) -> None:
        """Sees a worker off, once."""
        if worker in self._ends:
            work.close()
            return
        task = self._ends[worker] = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(lambda _: self._forget(worker))

    def _forget(self, worker: Worker) -> None:
        """Nothing is left of it."""
        del self._ends[worker]
        self.workers.remove(worker)
        if not self.workers:
            self._empty.set()
        if self._on_change is not None:
            self._on_change(worker)
        self._pump()
