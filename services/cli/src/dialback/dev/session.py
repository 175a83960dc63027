"""`dialback dev` as a whole: edge and invoker in one process, a watch on the files, and what comes of a save."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack

import uvloop

from dialback import service_log
from dialback.address import bracketed
from dialback.control_client import ControlClient
from dialback.dev.announcing import Announcer
from dialback.dev.attaching import debugging
from dialback.dev.options import DevOptions
from dialback.dev.own_paths import OwnPaths
from dialback.dev.pages import ErrorPages
from dialback.dev.prefix import PREFIX
from dialback.dev.redeploy import Redeploy, Save
from dialback.dev.reload import Reloading
from dialback.dev.request_log import RequestLog
from dialback.dev.screen import Screen
from dialback.dev.state import State
from dialback.dev.upstream import DevUpstream
from dialback.dev.watching import Watch
from dialback.errors import StartProblem
from dialback.lifetime import stop_signals
from dialback.memory_link import MemoryLink
from dialback.platform import edge_started, invoker_settings, started
from dialback.ready import Ready
from dialback.report import report
from dialback.settings import Settings
from dialback.simulators.in_front import in_front
from dialback.whereabouts import Running, Whereabouts, remove_running, write_running
from dialback_edge.hooks import Hooks
from dialback_edge.service import EdgeService
from dialback_invoker.development import Development
from dialback_invoker.service import InvokerService


class DevSession:
    """One run, until Ctrl-C."""

    def __init__(self, settings: Settings, options: DevOptions, write: Callable[[bytes], object] | None = None) -> None:
        """`write` takes what is shown, from a thread; else it goes to standard output."""
        self._settings = settings
        self._options = options
        self._write = write

    def run(self) -> int:
        """The exit code."""
        service_log.install()
        return uvloop.run(self.main())

    async def main(self) -> int:
        """The same in a loop that runs."""
        try:
            async with AsyncExitStack() as stack:
                signals = await stack.enter_async_context(stop_signals())
                await self._serve(stack, signals)
        except StartProblem as problem:
            return report(_explained(problem))
        return 0

    async def _serve(self, stack: AsyncExitStack, signals: asyncio.Queue[int]) -> None:
        settings, options = self._settings, self._options
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = settings.data_dir / "terminal.lock"
        screen = Screen(options.events, lock, self._write)
        stack.callback(screen.close)
        state = State()
        announce = Announcer(screen, state, options, settings.data_dir)
        log = RequestLog(screen, state, options.root, options.folder)
        development = Development(log.line, debugging(lock, options.root, options.debug_port), options.root)
        invoker = InvokerService(invoker_settings(settings), log.ended, development=development)
        stack.push_async_callback(invoker.stop)
        await started(invoker)
        assert invoker.rollout is not None
        upstream = DevUpstream(MemoryLink(invoker), OwnPaths(state), state, log)
        reloading = Reloading(lambda: state.version, announce.blocked)
        hooks = Hooks(ErrorPages(state), reloading, PREFIX.encode()) if options.reload else Hooks(ErrorPages(state))
        own, expose = await stack.enter_async_context(in_front(settings))
        edge = EdgeService(own, upstream, log.served, hooks=hooks)
        stack.push_async_callback(edge.stop)
        host, port = await expose(await edge_started(edge))
        public_url = invoker.public_url = settings.public_url or f"http://{bracketed(host)}:{port}"
        ready = Ready(
            public_url=public_url,
            control_url=invoker.control_url,
            control_token=invoker.control_token,
            simulating=settings.conditions.lines(),
        )
        write_running(settings.data_dir, Running(ready.control_url, ready.public_url, os.getpid()))
        stack.callback(remove_running, settings.data_dir, os.getpid())
        announce.ready(ready)
        where = Whereabouts(ready.control_url, "this platform", ready.control_token, "this platform")
        client = stack.enter_context(ControlClient(where))
        redeploy = Redeploy(
            options.source,
            options.root,
            options.name,
            client,
            invoker.rollout,
            announce.came_of,
            announce.installing,
        )
        stack.push_async_callback(redeploy.close)
        await self._until_stopped(redeploy, signals)
        invoker.leave()

    async def _until_stopped(self, redeploy: Redeploy, signals: asyncio.Queue[int]) -> None:
        stop = asyncio.Event()
        watching = asyncio.create_task(self._watch(redeploy, stop))
        stopped = asyncio.create_task(signals.get())
        either: tuple[asyncio.Task[None] | asyncio.Task[int], ...] = (watching, stopped)
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        stopped.cancel()
        await watching
        await asyncio.gather(stopped, return_exceptions=True)

    async def _watch(self, redeploy: Redeploy, stop: asyncio.Event) -> None:
        """Deploy at once, and again after each save; saves that come while one is packed are taken together."""
        loop = asyncio.get_running_loop()
        saves: asyncio.Queue[Save] = asyncio.Queue()
        watch = Watch(self._options.source)

        async def look() -> None:
            async for files in watch.saves(stop):
                saves.put_nowait(Save(files, loop.time()))

        async def deploy() -> None:
            # The watch stands before the first look at the files, so that no save falls in between.
            await redeploy.take(Save((), loop.time()))
            while True:
                save = await saves.get()
                files = set(save.files)
                while not saves.empty():
                    files.update(saves.get_nowait().files)
                await redeploy.take(Save(tuple(sorted(files)), save.at))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(look())
            deploying = tasks.create_task(deploy())
            await stop.wait()
            deploying.cancel()


def _explained(problem: StartProblem) -> StartProblem:
    """With what to do about it."""
    if "data folder" in problem.message:
        problem.hint = "does another `dialback dev` of this folder run?"
    return problem
