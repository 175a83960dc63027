"""One worker as the platform sees it: its state, its slots, its side of the runtime API, its start and its end."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from dialback_invoker.errors import DialbackError
from dialback_invoker.launchers.base import (
    Exit,
    Launcher,
    LaunchFailed,
    LogLine,
    OnLog,
    RunningWorker,
    WorkerControl,
    WorkerSpec,
)
from dialback_invoker.lease import Answer, Declined, Lease, Mark, Response, Tunnel, WorkerDied
from dialback_invoker.runtime_api import FunctionError, Poll
from dialback_invoker.runtime_http import RuntimeServer
from dialback_invoker.worker_state import LIVE, SERVING, Event, State, step

REMEMBERED = 1024
"""Ended invocations whose late answers are still recognized."""
EXIT_AFTER_INIT_ERROR = 1.0
"""Seconds that a runtime has to exit after it reported that the function cannot be loaded."""
TERMINATE_GRACE = 0.5
"""Seconds between SIGTERM and SIGKILL."""

OnWorker = Callable[["Worker"], None]


def new_worker_id() -> str:
    """A short name that is not used twice."""
    return f"w_{secrets.token_hex(6)}"


class Worker:
    """Implements `runtime_api.Desk`. All methods belong to the loop's thread."""

    def __init__(
        self, spec: WorkerSpec, launcher: Launcher, *, concurrency: int, on_log: OnLog, on_change: OnWorker
    ) -> None:
        self.id = new_worker_id()
        self.function = spec.function
        self.deployment = spec.deployment
        self.concurrency = concurrency
        self.state = State.STARTING
        self.served = 0
        """Invocations that it was given."""
        self.started_at = time.time()
        """Unix seconds, for display."""
        self.leases: set[Lease] = set()
        self.init_failure: FunctionError | None = None
        self._spec = spec
        self._launcher = launcher
        self._sink = on_log
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._polls: deque[Poll] = deque()
        self._queue: deque[Lease] = deque()
        self._by_id: dict[str, Lease] = {}
        self._ended: dict[str, None] = {}
        self._running: RunningWorker | None = None
        self._server: RuntimeServer | None = None
        self._progress = asyncio.Event()
        self._kill_at = math.inf
        self._kill_timer: asyncio.TimerHandle | None = None
        self._mark: Mark = lambda _: None
        self._tasks: set[asyncio.Task[None]] = set()
        self._frozen = False

    # what others see

    @property
    def pid(self) -> int | None:
        """None before the start and for workers elsewhere."""
        return self._running.pid if self._running is not None else None

    @property
    def callback_url(self) -> str:
        """Where its bridge dials back to."""
        return self._spec.callback_url

    @property
    def in_flight(self) -> int:
        """Slots in use."""
        return len(self.leases)

    @property
    def live(self) -> bool:
        """Whether it counts towards ``max_workers``."""
        return self.state in LIVE

    @property
    def paused(self) -> bool:
        """Whether it is frozen until it is given work."""
        return self._frozen

    @property
    def available(self) -> bool:
        """Whether it may be given work now."""
        return self.state in SERVING and len(self.leases) < self.concurrency

    def rss(self) -> int:
        """Resident bytes, 0 when it does not run."""
        return self._running.rss() if self._running is not None and self.state is not State.DEAD else 0

    # start

    async def start(self, mark: Mark, seconds: float) -> None:
        """Launches it and waits until it polls, ``seconds`` at most (0: for ever). Raises LaunchFailed, and then
        nothing is left of it.
        """
        try:
            async with asyncio.timeout(seconds or None):
                await self._start(mark)
        except TimeoutError:
            await self.kill()
            raise LaunchFailed(
                f"the worker of {self.function} was not ready within {seconds:g} seconds", code="start_timeout"
            ) from None
        except LaunchFailed:
            await self.kill()
            raise
        except DialbackError as error:
            await self.kill()
            raise LaunchFailed(error.message) from error
        except asyncio.CancelledError:
            await asyncio.shield(self._loop.create_task(self.kill()))
            raise

    async def _start(self, mark: Mark) -> None:
        self._mark = mark
        mark("worker_start")
        secret = secrets.token_urlsafe(32)
        socket = await self._launcher.prepare(self.id)
        if socket is not None:
            self._server = RuntimeServer(self, secret)
            await self._server.start(socket)
        control = WorkerControl(self.id, secret, self, self._log)
        self._running = await self._launcher.launch(self._spec, control)
        self._running.exited.add_done_callback(self._on_exit)
        mark("worker_spawned")
        await self._progress.wait()
        if self.init_failure is not None:
            await asyncio.wait([self._running.exited], timeout=EXIT_AFTER_INIT_ERROR)
            text = self.init_failure.text()
            raise LaunchFailed(
                f"{self.function} failed to start: {text}", code="init_error", function_error=self.init_failure
            )
        if self._running.exited.done():
            end = self._running.exited.result()
            tail = f"\n{end.stderr_tail}" if end.stderr_tail else ""
            code = "oom" if end.oom else "worker_exited"
            raise LaunchFailed(
                f"the worker of {self.function} {end.reason} before it was ready{tail}", code=code, exit_=end
            )

    # leases

    def lease(self, mark: Mark) -> Lease:
        """Takes a slot; the caller has made sure that it is `available`."""
        lease = Lease(self, mark, cold=self.served == 0)
        self.served += 1
        self.leases.add(lease)
        if self._frozen:
            self._thaw()
        self._step(Event.LEASED)
        return lease

    def enqueue(self, lease: Lease, tunnel: Tunnel | None) -> None:
        """From Lease.hand_over: the payload goes through the tunnel, or waits for a poll."""
        assert lease.payload is not None
        if lease.answered or lease.released:
            return
        self._by_id[lease.invocation] = lease
        if tunnel is not None and tunnel.invoke(lease.payload, self):
            lease.tunnelled = True
            lease.take()
            return
        self._queue.append(lease)
        self._match()

    def lease_changed(self, lease: Lease) -> None:
        """From Lease.release, and after an answer: frees the slot if both sides are done."""
        if not lease.over or lease not in self.leases:
            if self.state is State.CONDEMNED:
                self._kill_if_stuck()
            return
        self.leases.discard(lease)
        if not lease.taken and lease in self._queue:
            self._queue.remove(lease)
        if lease.invocation:
            self._by_id.pop(lease.invocation, None)
            self._ended[lease.invocation] = None
            if len(self._ended) > REMEMBERED:
                del self._ended[next(iter(self._ended))]
        if self.leases:
            if self.state is State.CONDEMNED:
                self._kill_if_stuck()
            self._on_change(self)
        else:
            self._step(Event.FREED)

    async def pause(self) -> None:
        """Freezes it if it is idle and its launcher can; the next lease thaws it."""
        if self._running is None or self._frozen or self.state not in (State.READY, State.IDLE):
            return
        self._frozen = True
        if not await self._running.pause():
            self._frozen = False

    def _thaw(self) -> None:
        if self._frozen and self._running is not None:
            self._frozen = False
            self._spawn(self._running.resume())

    def condemn(self) -> None:
        """No new work; the owner stops it when it holds no lease."""
        if self.state not in (State.CONDEMNED, State.STOPPING, State.DEAD):
            self._step(Event.CONDEMNED)

    def condemn_for(self, lease: Lease, deadline: float) -> None:
        """From Lease.condemn."""
        if self.state is State.DEAD or lease not in self.leases:
            return
        self._kill_at = min(self._kill_at, deadline)
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        self._kill_timer = None if self._kill_at == math.inf else self._loop.call_at(self._kill_at, self._kill_soon)
        self.condemn()
        if self.state is State.CONDEMNED:
            self._kill_if_stuck()

    def _kill_if_stuck(self) -> None:
        """Kills a condemned worker when nothing but condemned and abandoned leases holds it."""
        held = self.leases
        if any(lease.condemned for lease in held) and all(lease.condemned or lease.released for lease in held):
            self._kill_soon()

    def _kill_soon(self) -> None:
        if self.state is not State.DEAD:
            self._spawn(self.kill())

    # runtime_api.Desk

    def poll(self, poll: Poll) -> None:
        """A `next`: answered with what waits, kept, or told to go."""
        if self.state is State.STARTING:
            self._mark("worker_ready")
            self._step(Event.POLLED)
            self._progress.set()
        if self.state in (State.STOPPING, State.DEAD):
            poll.retire()
            return
        self._polls.append(poll)
        self._match()

    def poll_gone(self, poll: Poll) -> None:
        """Its connection broke before an answer."""
        if poll in self._polls:
            self._polls.remove(poll)

    def response(self, invocation_id: str, body: bytes) -> bool:
        """The result of an invocation of this worker."""
        return self._answered(invocation_id, Response(body))

    def error(self, invocation_id: str, error: FunctionError) -> bool:
        """The failure of an invocation of this worker."""
        return self._answered(invocation_id, error)

    def declined(self, invocation_id: str) -> None:
        """It gave an invocation back, or lost its socket before it began: it is on its way out and gets no more."""
        if self._answered(invocation_id, Declined()):
            self.condemn()

    def init_error(self, error: FunctionError) -> None:
        """The function cannot be loaded."""
        if self.state is not State.STARTING:
            return
        self.init_failure = error
        for line in error.text().splitlines():
            self._sink(LogLine(self.function, self.id, "", "platform", "ERROR", line))
        self._progress.set()

    def _answered(self, invocation_id: str, answer: Answer) -> bool:
        lease = self._by_id.get(invocation_id)
        if lease is None or not lease.taken:
            return invocation_id in self._ended
        if not lease.answered:
            lease.answer(answer)
            if lease in self.leases:
                self.lease_changed(lease)
        return True

    def _match(self) -> None:
        # The connection that polled last: what it is still owed from before leaves with the event.
        while self._queue and self._polls:
            self._polls.pop().answer(self._queue.popleft().take())

    # the end

    async def stop(self, grace: float) -> None:
        """Answers its polls with 410, then ends it after ``grace`` seconds. Returns when nothing is left of it."""
        if self.state is not State.DEAD:
            self._step(Event.STOPPED)
        self._thaw()
        while self._polls:
            self._polls.popleft().retire()
        if self._running is not None:
            await asyncio.wait([self._running.exited], timeout=grace)
            await self._running.terminate(TERMINATE_GRACE)
        await self._clear()

    async def kill(self) -> None:
        """Ends it now. Returns when nothing is left of it."""
        if self._running is not None:
            await self._running.kill()
        await self._clear()

    async def gone(self) -> None:
        """Waits until it is dead and nothing is left of it."""
        if self._running is not None:
            await asyncio.wait([self._running.exited])
        await self._clear()

    async def _clear(self) -> None:
        self._close()
        if self._running is not None:
            await self._running.dispose()
        else:
            await self._launcher.discard(self.id)
            if self.state is not State.DEAD:
                self._step(Event.EXITED)

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._kill_timer is not None:
            self._kill_timer.cancel()
            self._kill_timer = None

    def _on_exit(self, exited: asyncio.Future[Exit]) -> None:
        end = exited.result()
        self._close()
        self._polls.clear()
        self._queue.clear()
        if self.state not in (State.STARTING, State.STOPPING, State.DEAD):
            self._sink(LogLine(self.function, self.id, "", "platform", "ERROR", f"the worker {end.reason}"))
        died = WorkerDied(end.reason, end.code, end.signal, end.oom, end.stderr_tail)
        self._progress.set()
        if self.state is not State.DEAD:
            self._step(Event.EXITED)
        for lease in tuple(self.leases):
            lease.answer(died)
            self.lease_changed(lease)

    # inside

    def _step(self, event: Event) -> None:
        self.state = step(self.state, event)
        self._on_change(self)

    def _log(self, line: LogLine) -> None:
        """A worker may name only its own invocations."""
        if line.invocation and line.invocation not in self._by_id and line.invocation not in self._ended:
            line = LogLine(line.function, line.worker, "", line.stream, line.level, line.line)
        self._sink(line)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
