"""A worker: the parts joined, from start to retirement.

Ends with status 0 when the platform retires it (410, or SIGTERM) and all that it runs has ended; with 1 when the
platform is gone or the function cannot start.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from dialback_wire.freed_memory import keep_freed_memory
from dialback_wire.messages import Invoke

from . import event_loop, log_capture, runtime_client
from .callback_url import AllowList
from .discovery import find_entry
from .entry import Entry, EntryError
from .handlers import Handler, make_handler
from .handlers.base import StartFailed
from .handlers.threads import Threads
from .invocation import Invocations
from .launch import Launch
from .receiver_socket import ReceiverSocket
from .receivers import Receivers
from .runtime_client import Failure, PlatformGone, RuntimeClient
from .tunnel import TunnelRuntime, delivery_of
from .user_frames import traceback_lines

MAX_POLLS = 8
"""How many `next` calls are outstanding at most."""

MIN_POLLS = 2
"""As long as this many others are outstanding, a `next` call waits for an answer that it can leave with."""

ASYNC_CONCURRENCY = 100
THREAD_CONCURRENCY = 10
STOP_TIME = 5.0
"""Seconds that an application's shut-down may take, and the invocations of a platform that is gone."""

LAST_POLL_TIME = 1.0
"""Seconds in which the other polls of a retired worker are answered too."""


class Worker:
    """Takes invocations and serves them, at most `concurrency` at once."""

    def __init__(self, runtime: RuntimeClient, invocations: Invocations, concurrency: int) -> None:
        self._runtime = runtime
        self._invocations = invocations
        self._slots = concurrency
        """How many more invocations the runtime API may hand out."""
        self._freed: deque[asyncio.Future[None]] = deque()
        """Polls that wait for a slot."""
        self._polls = min(concurrency, MAX_POLLS)
        self._polling = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._retiring = False
        self._gone: PlatformGone | None = None
        self._pollers: list[asyncio.Task[None]] = []

    async def serve(self) -> None:
        """Serve until retirement, and until everything that runs has ended. Raises PlatformGone."""
        self._pollers = [asyncio.ensure_future(self._poll()) for _ in range(self._polls)]
        try:
            await asyncio.gather(*self._pollers, return_exceptions=True)
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=STOP_TIME if self._gone else None)
        finally:
            self._invocations.give_up()
            for task in [*self._pollers, *self._tasks]:
                task.cancel()
        if self._gone is not None:
            raise self._gone

    def retire(self) -> None:
        """Take nothing more. A second call also gives up what runs."""
        if self._retiring:
            self._invocations.shut_down()
        self._retiring = True
        self._cancel_polls()

    def _cancel_polls(self) -> None:
        for poller in self._pollers:
            poller.cancel()

    async def _poll(self) -> None:
        while True:
            # A slot is taken before the poll, so what comes can start at once, and polls never exceed free slots.
            while not self._slots:
                # The patient calls hold the last slots.
                self._runtime.hurry()
                freed = asyncio.get_running_loop().create_future()
                self._freed.append(freed)
                await freed
            self._slots -= 1
            if self._retiring:
                break
            patient = self._polling - self._runtime.patient >= MIN_POLLS
            self._polling += 1
            try:
                delivery = await self._runtime.next(patient=patient and bool(self._tasks))
            except PlatformGone as gone:
                self._platform_gone(gone)
                break
            finally:
                self._polling -= 1
            if delivery is None:
                self._retiring = True
                self._runtime.hurry()
                asyncio.get_running_loop().call_later(LAST_POLL_TIME, self._cancel_polls)
                break
            self._begin(self._invocations.serve(delivery), self._polled_served)
        # Others may wait for a slot only to learn that there is nothing more to take.
        self._free_slot()

    def take(self, socket: ReceiverSocket, invoke: Invoke) -> None:
        """An invocation came over a socket. The platform has counted its slot."""
        if self._retiring:
            socket.mux.decline(invoke.invocation)
        else:
            self._begin(
                self._invocations.serve(delivery_of(invoke), TunnelRuntime(socket, self._runtime)), self._served
            )

    def _begin(self, serving: Coroutine[Any, Any, None], served: Callable[[asyncio.Task[None]], None]) -> None:
        task = asyncio.get_running_loop().create_task(serving)
        self._tasks.add(task)
        task.add_done_callback(served)

    def _polled_served(self, task: asyncio.Task[None]) -> None:
        self._free_slot()
        self._served(task)

    def _free_slot(self) -> None:
        self._slots += 1
        while self._freed:
            waiting = self._freed.popleft()
            if not waiting.done():
                waiting.set_result(None)
                break

    def _served(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, PlatformGone):
            self._platform_gone(error)
        elif error is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "an invocation failed inside the bridge", "exception": error}
            )

    def _platform_gone(self, gone: PlatformGone) -> None:
        # While it retires its workers, the platform closes connections rather than answer each poll.
        if self._gone is None and not self._retiring:
            self._gone = gone
            self._retiring = True
            self._invocations.shut_down()
            self._cancel_polls()


def run_worker(launch: Launch, folder: Path) -> int:
    """Serve the function in `folder`; returns the exit status."""
    log = log_capture.install(launch.log_fd)
    if launch.debugging is not None:
        from . import debugging

        debugging.install(debugging.read(launch.debugging), log)
    try:
        entry = find_entry(folder, launch.entry, launch.kind)
    except EntryError as error:
        log.emit("", "log", "ERROR", str(error).split("\n"))
        trace = tuple(traceback_lines(error.__cause__)) if error.__cause__ is not None else ()
        failure = Failure("Dialback.EntryError", str(error), trace)
        return asyncio.run(_report(launch, failure))
    try:
        return event_loop.run(lambda: _serve(launch, entry, log), launch.event_loop)
    except event_loop.LoopMissing as error:
        log.emit("", "log", "ERROR", [str(error)])
        return asyncio.run(_report(launch, Failure("Dialback.LoopMissing", str(error))))
    finally:
        log.close_outside()


async def _report(launch: Launch, failure: Failure) -> int:
    runtime = runtime_client.connect(launch.secret, launch.runtime_socket, launch.runtime_address)
    try:
        await runtime.fail_init(failure)
    except PlatformGone:
        pass
    runtime.close()
    return 1


async def _serve(launch: Launch, entry: Entry, log: log_capture.LogSink) -> int:
    concurrency = launch.concurrency or (THREAD_CONCURRENCY if entry.blocks else ASYNC_CONCURRENCY)
    threads = Threads(concurrency)
    handler = make_handler(entry, threads)
    try:
        await handler.start()
    except StartFailed as error:
        log.emit("", "log", "ERROR", str(error).split("\n"))
        return await _report(launch, Failure("Dialback.StartFailed", str(error)))
    runtime = runtime_client.connect(launch.secret, launch.runtime_socket, launch.runtime_address)
    receivers = Receivers(AllowList(launch.allow), keep=launch.keep_socket, dial_timeout=launch.dial_timeout)
    worker = Worker(runtime, Invocations(runtime, receivers, handler, log, launch.cancel_grace), concurrency)
    receivers.on_invoke = worker.take
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.retire)
    keep_freed_memory()
    # What was imported stays for good: no collection of garbage needs to look through it again.
    gc.freeze()
    try:
        await worker.serve()
        status = 0
    except PlatformGone as gone:
        log.emit("", "log", "ERROR", [str(gone)])
        status = 1
    await _stop(handler, log)
    await receivers.close()
    runtime.close()
    threads.close()
    return status


async def _stop(handler: Handler, log: log_capture.LogSink) -> None:
    try:
        await asyncio.wait_for(handler.stop(), STOP_TIME)
    except asyncio.TimeoutError:
        log.emit("", "log", "ERROR", [f"the application's shut-down took longer than {STOP_TIME:g} s"])
