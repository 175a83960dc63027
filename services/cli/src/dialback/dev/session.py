"""`dialback dev` as a whole: edge and invoker in one process, a watch on the files, and what comes of a save."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import uvloop
from rich.text import Text

from dialback import service_log
from dialback.address import bracketed
from dialback.control_client import ControlClient
from dialback.dev.own_paths import OwnPaths
from dialback.dev.pages import ErrorPages
from dialback.dev.prefix import PREFIX
from dialback.dev.problem_view import problem_view
from dialback.dev.redeploy import Redeploy, Result, Save
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
from dialback.ready import Ready, addresses
from dialback.report import report
from dialback.settings import Queue, Settings
from dialback.simulators.in_front import in_front
from dialback.terminal import ACCENT, QUIET, milliseconds, safe
from dialback.whereabouts import Running, Whereabouts, remove_running, write_running
from dialback_edge.hooks import Hooks
from dialback_edge.service import EdgeService
from dialback_invoker.development import Debugging, Development
from dialback_invoker.service import InvokerService

LOCAL = ("127.0.0.1", "localhost", "::1")
NAMED_FILES = 3
"""Files of a save that are named."""


@dataclass(frozen=True, slots=True)
class DevOptions:
    """What was asked for. `name` is the function's; `reload`: whether pages load themselves anew."""

    source: Path
    name: str
    reload: bool = True
    events: bool = False
    debug_port: int | None = None

    @property
    def root(self) -> Path:
        """The folder that the user's files are in."""
        return (self.source if self.source.is_dir() else self.source.parent).resolve()

    @property
    def folder(self) -> str:
        """How that folder is written on the screen: relative where it is near."""
        shown = os.path.relpath(self.root)
        return "" if shown == "." else shown if not shown.startswith("..") else str(self.root)


def dev_settings(settings: Settings, options: DevOptions, own_folder: bool) -> Settings:
    """The platform's settings as dev wants them: the function at /, no time-outs, nothing that a stop waits for, and,
    unless `own_folder` says that one was named, a data folder for this function alone.
    """
    data_dir = settings.data_dir
    if not own_folder:
        digest = hashlib.sha256(os.fsencode(options.source.resolve())).hexdigest()[:8]
        data_dir = data_dir / "dev" / f"{options.name}-{digest}"
    queue = Queue(settings.queue.limit, 0.0)
    edge = settings.edge
    if edge.authorities is None and settings.public.host in LOCAL:
        # What is shown here is the user's source: not for a page elsewhere whose name was made to lead here.
        own = [urlsplit(settings.public_url).hostname or ""] if settings.public_url else []
        edge = edge.model_copy(update={"authorities": (*LOCAL, "[::1]", ".localhost", *own)})
    return replace(
        settings, edge=edge, data_dir=data_dir, default=options.name, queue=queue, drain_grace=0.0, drain_delay=0.0
    )


class DevSession:
    """One run, until Ctrl-C."""

    def __init__(self, settings: Settings, options: DevOptions, write: Callable[[bytes], object] | None = None) -> None:
        """`write` takes what is shown, from a thread; else it goes to standard output."""
        self._settings = settings
        self._options = options
        self._write = write
        self._policies: set[str] = set()

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
        self._screen = screen = Screen(options.events, lock, self._write)
        stack.callback(screen.close)
        self._state = state = State()
        log = RequestLog(screen, state, options.root, options.folder)
        port, path = options.debug_port or 0, debugpy_folder() if options.debug_port else ""
        debugging = Debugging(_terminal(), str(lock), port, path, str(options.root))
        development = Development(log.line, debugging, options.root)
        invoker = InvokerService(invoker_settings(settings), log.ended, development=development)
        stack.push_async_callback(invoker.stop)
        await started(invoker)
        assert invoker.rollout is not None
        upstream = DevUpstream(MemoryLink(invoker), OwnPaths(state), state, log)
        reloading = Reloading(lambda: state.version, self._blocked)
        hooks = Hooks(ErrorPages(state), reloading, PREFIX.encode()) if options.reload else Hooks(ErrorPages(state))
        own, expose = await stack.enter_async_context(in_front(settings))
        edge = EdgeService(own, upstream, log.served, hooks=hooks)
        stack.push_async_callback(edge.stop)
        host, port = await expose(await edge_started(edge))
        public_url = invoker.public_url = settings.public_url or f"http://{bracketed(host)}:{port}"
        ready = Ready(public_url=public_url, control_url=invoker.control_url, control_token=invoker.control_token)
        write_running(settings.data_dir, Running(ready.control_url, ready.public_url, os.getpid()))
        stack.callback(remove_running, settings.data_dir, os.getpid())
        self._say_ready(ready)
        where = Whereabouts(ready.control_url, "this platform", ready.control_token, "this platform")
        client = stack.enter_context(ControlClient(where))
        redeploy = Redeploy(options.source, options.root, options.name, client, invoker.rollout, self._tell)
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

    # --- what is said -------------------------------------------------------------------------------------------------

    def _say_ready(self, ready: Ready) -> None:
        name = self._options.name
        urls = addresses(ready.public_url, name)
        text = Text.assemble((f"{safe(name)} ", "bold"), ("is at ", QUIET), (f"{ready.public_url}/", ACCENT))
        text.append(f"\n  also {urls[0]} and {urls[1]}", QUIET)
        text.append(f"\n  page {ready.page_url}", QUIET)
        if debug_port := self._options.debug_port:
            text.append(f"\n  debugpy at 127.0.0.1:{debug_port}; in VS Code's launch.json: ", QUIET)
            text.append(launch_json(debug_port), QUIET)
        for line in self._settings.conditions.lines():
            text.append(f"\n  SIMULATING {line}", "yellow")
        text.append("\n  time-outs are off; saved changes run at once; Ctrl-C stops\n", QUIET)
        event = {
            "event": "ready",
            "name": name,
            "public_url": ready.public_url,
            "control_url": ready.control_url,
            "page_url": ready.page_url,
            "data_dir": str(self._settings.data_dir),
            **({"simulating": list(simulating)} if (simulating := self._settings.conditions.lines()) else {}),
        }
        self._screen.show(text, event)

    def _tell(self, result: Result) -> None:
        """A save has come to something."""
        if result.unchanged:
            return
        self._state.change(result.version, result.problem)
        files = _named(result.save.files, self._options.root)
        event: dict[str, object] = {
            "files": list(result.save.files),
            "deployment": result.version,
            "ms": round(result.seconds * 1000, 1),
        }
        if result.problem is not None:
            goes_on = "the version before it goes on" if result.version else "there is no version before it"
            view = problem_view(replace(result.problem, notes=(goes_on,)), self._options.folder)
            self._screen.show(view, {"event": "broken", **event, "problem": result.problem.as_dict()})
            return
        what = f"{safe(files)} saved, running" if files else "running"
        text = Text.assemble(("✓ ", "green"), what, (f" after {milliseconds(result.seconds * 1000)}", QUIET))
        self._screen.show(text, {"event": "running", **event})

    def _blocked(self, policy: str) -> None:
        """A page forbids our script; told once for each policy."""
        if policy not in self._policies:
            self._policies.add(policy)
            said = "a page's Content-Security-Policy forbids scripts of its own origin: it does not reload on a save"
            self._screen.show(Text(said, "yellow"), {"event": "warning", "message": said})


def debugpy_folder() -> str:
    """Where debugpy can be imported from here; empty when it cannot."""
    found = importlib.util.find_spec("debugpy")
    return "" if found is None or found.origin is None else str(Path(found.origin).parent.parent)


def launch_json(port: int) -> str:
    """What VS Code wants in `.vscode/launch.json`, in one line; `restart` attaches again after a save."""
    return json.dumps(
        {
            "name": "dialback dev",
            "type": "debugpy",
            "request": "attach",
            "connect": {"host": "127.0.0.1", "port": port},
            "restart": True,
        }
    )


def _named(files: tuple[str, ...], root: Path) -> str:
    """A few of the files of a save; what an editor made and removed again only where there is nothing else."""
    there = [file for file in files if (root / file).exists()] or list(files)
    more = len(there) - NAMED_FILES
    return ", ".join(there[:NAMED_FILES]) + (f" and {more} more" if more > 0 else "")


def _terminal() -> str:
    """The terminal that a breakpoint can talk on; empty when there is none."""
    try:
        if sys.stdin.isatty() and sys.stdout.isatty():
            return os.ttyname(sys.stdin.fileno())
    except (OSError, ValueError):
        pass
    return ""


def _explained(problem: StartProblem) -> StartProblem:
    """With what to do about it."""
    if "data folder" in problem.message:
        problem.hint = "does another `dialback dev` of this folder run?"
    elif "cannot listen" in problem.message:
        problem.hint = "does another program have this port? --port 0 picks a free one"
    return problem
