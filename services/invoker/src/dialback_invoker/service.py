"""The invoker's composition root: the only place where its parts are made and joined."""

import asyncio
import errno
import logging
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from dialback_invoker.admission import Admission
from dialback_invoker.control.access import ControlToken
from dialback_invoker.control.app import create_app
from dialback_invoker.control.ports import Services
from dialback_invoker.control.server import SHUTDOWN, ControlServer
from dialback_invoker.deploy import spare_inspection
from dialback_invoker.deploy.deployer import Deployer
from dialback_invoker.deploy.inspect import BridgeInspector
from dialback_invoker.deployment import Deployment
from dialback_invoker.detail_budget import DetailBudget
from dialback_invoker.development import Development
from dialback_invoker.dispatch import Dispatch
from dialback_invoker.environments.builder import BuildLimits
from dialback_invoker.environments.environments import Environments
from dialback_invoker.errors import PathProblem, PlatformFailure
from dialback_invoker.launchers.base import AllowedUrl, LogLine
from dialback_invoker.launchers.debugged import DebuggedLauncher
from dialback_invoker.launchers.environment import COMMAND
from dialback_invoker.launchers.process import ProcessLauncher
from dialback_invoker.launchers.spares import Spares
from dialback_invoker.launchers.zygotes import Bounds
from dialback_invoker.launching import Launchers
from dialback_invoker.link_server import LinkServer
from dialback_invoker.link_tls import server_context
from dialback_invoker.lock import DataFolderLock
from dialback_invoker.logs import LogBook
from dialback_invoker.metrics.exposition import Exposition
from dialback_invoker.metrics.invoker import InvokerMetrics, Running
from dialback_invoker.paths import DataFolder, RunFolder, data_folder, run_folder
from dialback_invoker.pending import PendingTable
from dialback_invoker.pools import Pools
from dialback_invoker.receiver import Receiver
from dialback_invoker.recorder import Recorder
from dialback_invoker.registry import Registry
from dialback_invoker.rollout import Rollout, patient
from dialback_invoker.secret_files import ensure_key
from dialback_invoker.secrets.book import VariableBook
from dialback_invoker.secrets.keys import KeyRing
from dialback_invoker.settings import InvokerSettings, TcpAddress
from dialback_invoker.store.port import Retention
from dialback_invoker.store.sqlite import SqliteStore
from dialback_invoker.tickets import Tickets
from dialback_invoker.trace import Invocation
from dialback_invoker.tracing import Tracer
from dialback_invoker.view import VERSION, View
from dialback_invoker.watchers import Watchers
from dialback_invoker.worker import Worker
from dialback_invoker.worker_state import State
from dialback_wire import payload
from dialback_wire.flow import Budget
from dialback_wire.metrics import Reading
from dialback_wire.mux import Mux
from dialback_wire.outlet import Outlet
from dialback_wire.tokens import redact

log = logging.getLogger("dialback.invoker")

OnEnded = Callable[[dict[str, object]], None]

_STOP_SECONDS = 2.0
_AT_ONCE = 0.05
_PATIENT_INSPECTION = 60.0
"""Seconds that importing a function may take under `dialback dev`."""
_DEFAULT_PORTS = {"ws": 80, "wss": 443}


class InvokerService:
    """The invoker in this process. `start`, then `drain`, then `stop`; each once."""

    def __init__(
        self,
        settings: InvokerSettings,
        on_ended: OnEnded | None = None,
        *,
        worker_command: Sequence[str] | None = None,
        exposition: Exposition | None = None,
        tracer: Tracer | None = None,
        development: Development | None = None,
    ) -> None:
        """`on_ended` is given the summary of each invocation that is over; it must neither block nor raise.
        `worker_command`: what runs as a worker, instead of the bridge. `exposition`: to which the invoker's numbers are
        added. `tracer`: begins the spans of invocations, where traces are configured. `development`: what
        `dialback dev` wants.
        """
        self.settings = settings
        self._on_ended = on_ended
        self._worker_command = worker_command or COMMAND
        self._tracer = tracer
        self._development = development
        self.rollout: Rollout | None = None
        """Which versions serve; None: those that are active."""
        self.data: DataFolder = data_folder(settings.data_dir)
        self.run: RunFolder = run_folder(self.data)
        self.control_url = ""
        self.control_token = ""
        self.public_url = settings.public_url
        self._undo: list[Callable[[], object]] = []
        self._opening = asyncio.Lock()
        self._budget = Budget(settings.window_budget)
        self._metrics = InvokerMetrics(VERSION)
        self.exposition = exposition or Exposition()
        """What `/metrics` on the control port tells; an edge in this process adds its own to it."""

    # --- start --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take the data folder, sweep what a crash left, and open every port.

        Raises DialbackError: the folder is in use, the database is damaged, a port is taken, ... Then nothing is left.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        self.data.create()
        lock = DataFolderLock(self.data.lock)
        self._undo.append(lock.release)
        self.run.create()
        self._undo.append(self.run.remove)
        self._launchers = Launchers(
            self.settings,
            self.data,
            self.run,
            self._processes(),
            self._inspector(),
            self._open_unix,
            development=self._development is not None,
        )
        self._undo.append(self._launchers.close)
        await self._launchers.start()
        self.run.receiver_socket.unlink(missing_ok=True)
        self.run.link_socket.unlink(missing_ok=True)

        store = await SqliteStore.open(self.data.database, Retention(deployments=self.settings.keep_deployments))
        self._undo.append(store.close)
        self._recorder = Recorder(store)
        self._details = DetailBudget()
        self._logs = LogBook(store)
        self._watchers = Watchers()
        self._logs.listen(self._watchers.line)
        self._recorder.start()
        await self._logs.start()
        self._undo += [self._recorder.close, self._logs.close]

        self._variables = VariableBook(store, KeyRing(self.data.secrets_key))
        await self._variables.load()

        await self._start_data_path()
        await self._start_control(store)
        self.view.ready = True

    def _processes(self) -> ProcessLauncher | None:
        """What starts workers as processes; None where all of them are containers."""
        if self._development is not None:
            self._spares = Spares(self._development.imports)
            self._undo.append(lambda: asyncio.to_thread(self._spares.close))
        if self.settings.launcher != "process":
            return None
        if self._development is None:
            bounds = Bounds(self.settings.zygotes, self.settings.zygote_idle)
            return ProcessLauncher(self.run.root, command=self._worker_command, bounds=bounds, on_log=self._on_log)
        debugging = asdict(self._development.debugging)
        return DebuggedLauncher(self.run.root, self._worker_command, self._spares, debugging)

    def _inspector(self) -> BridgeInspector:
        if self._development is None:
            return BridgeInspector()
        return BridgeInspector(_PATIENT_INSPECTION, begin=partial(spare_inspection.begin, self._spares))

    async def _start_data_path(self) -> None:
        settings = self.settings
        self.registry = Registry()
        pending = PendingTable(secrets.token_hex(4))
        self._tickets = Tickets()
        self._admission = Admission(queue=settings.queue, in_flight=settings.in_flight)
        self._receiver = Receiver(pending, budget=self._budget)
        self._launchers.dial(*await self._open_receiver())
        limits = BuildLimits(settings.build_seconds, settings.build_bytes)
        self._environments = Environments(self.data.environments, limits=limits)
        self._pools = Pools(
            self.data,
            self._launchers.launching,
            on_log=self._on_log,
            on_change=self._on_worker,
            on_start=self._metrics.worker_started,
            python_of=self._environments.python_of,
            on_gone=self._on_pool_gone,
            surroundings=self._variables.of,
        )
        self._variables.listen(self._pools.renew)
        self.registry.listen(on_remove=self._variables.forget)
        if self._development is None:
            self.registry.listen(on_activate=self._on_activate, on_remove=self._on_remove)
        else:
            self.rollout = Rollout(self.registry, self._pools, patient)
        self.dispatch = Dispatch(
            self.rollout or self.registry,
            self._pools.of,
            pending,
            self._admission,
            record=self._record,
            redeem=self._tickets.redeem,
            visit=self._pools.visit,
            tunnel_of=self._receiver.tunnel,
            default=settings.default,
            queue_seconds=settings.queue_seconds,
            tracer=self._tracer,
            redact=self._variables.redact,
        )
        self.link = LinkServer(self.dispatch.open, key=self._link_key(), budget=self._budget)
        self._undo.append(self.link.close)
        await self._open_link()

    async def _open_receiver(self) -> tuple[str, tuple[AllowedUrl, ...]]:
        """Where workers dial back to, and the one address that they may dial."""
        self._undo.append(self._receiver.close)
        wanted = self.settings.receiver
        if wanted is None:
            path = str(await self._open_unix())
            return f"unix://{path}", (AllowedUrl("unix", path=path),)
        runner = web.AppRunner(self._receiver.application(), access_log=None, shutdown_timeout=_STOP_SECONDS)
        await runner.setup()
        self._undo.insert(-1, runner.cleanup)
        site = web.TCPSite(runner, wanted.host, wanted.port)
        await _bind(site.start(), wanted, "--receiver")
        host, port = runner.addresses[0][:2]
        url = (self.settings.receiver_url or f"ws://{_bracketed(host)}:{port}").rstrip("/")
        dialled = urlsplit(url)
        name, number = _bracketed(dialled.hostname or ""), dialled.port or _DEFAULT_PORTS.get(dialled.scheme, 0)
        self._receiver.authorities = frozenset({dialled.netloc.lower(), f"{name}:{number}"})
        return f"{url}{payload.CALLBACK_PATH}", (AllowedUrl(dialled.scheme, name, number),)

    async def _open_unix(self) -> Path:
        """The receiver's Unix socket: processes dial it unless they dial TCP, containers always."""
        path = self.run.receiver_socket
        async with self._opening:
            if not path.exists():
                await self._receiver.listen_unix(str(path))
                os.chmod(path, 0o600)
        return path

    async def _open_link(self) -> None:
        wanted = self.settings.link
        if isinstance(wanted, TcpAddress):
            tls = server_context(self.settings.link_tls) if self.settings.link_tls is not None else None
            await _bind(self.link.listen_tcp(wanted.host, wanted.port, tls), wanted, "--link")
        else:
            path = str(wanted or self.run.link_socket)
            try:
                await self.link.listen_unix(path)
                os.chmod(path, 0o600)
            except OSError as error:
                raise PlatformFailure(f"cannot listen on {path}: {error.strerror}", code="cannot_listen") from error

    async def _start_control(self, store: SqliteStore) -> None:
        self._deployer = deployer = Deployer(
            data=self.data,
            store=store,
            registry=self.registry,
            inspector=self._launchers,
            environments=self._environments,
            surroundings=self._variables.of,
            running=lambda: self._pools.deployments,
            elsewhere=self._launchers,
        )
        self._undo.append(deployer.close)
        await deployer.load()
        if self.rollout is not None:
            self.rollout.listen()
        token = await ControlToken.load(self.data.control_token, store)
        self.view = View(
            self.dispatch,
            self._pools,
            self._tickets,
            self._launchers.default,
            data_dir=str(self.data.root),
            public_url=lambda: self.public_url or self.link.advertised,
        )
        self.exposition.add(self._readings)
        services = Services(
            self.view,
            deployer,
            self.registry,
            store,
            self._recorder,
            self._logs,
            self._watchers,
            self._variables,
            self.exposition,
        )
        control = self.settings.control
        shown = self.settings.control_public_url
        hosts = {control.host, *({urlsplit(shown).hostname or ""} if shown else ())}
        app = create_app(services, token, hosts=hosts)
        server = ControlServer(app, control.host, control.port, SHUTDOWN if self._development is None else _AT_ONCE)
        port = await server.start()
        self._undo.append(server.stop)
        self._undo.append(self._logs.end_followers)
        self._undo.append(self._watchers.close)
        self.control_url = f"http://{_bracketed(control.host)}:{port}"
        self.view.control_url = shown or self.control_url
        self.view.edge_url = self.settings.edge_url
        self.control_token = self.data.control_token.read_text().strip()

    def _link_key(self) -> bytes:
        path = self.settings.link_key_file or self.data.link_key
        try:
            if self.settings.link_key_file is None:
                ensure_key(path)
            key = path.read_bytes().strip()
        except OSError as error:
            raise PathProblem(f"the link's key {path}: {error.strerror or error}") from error
        if not key:
            raise PathProblem(f"the link's key {path} is empty")
        return key

    def join_link(self, outlet: Outlet) -> Mux:
        """The invoker's end of a link inside this process."""
        return self.link.in_memory(outlet)

    @property
    def in_flight(self) -> int:
        """Invocations that are not over."""
        return len(self.dispatch.live)

    def ready(self, said: bool) -> None:
        """Say on the control port whether what the platform starts with is there; requests are taken either way."""
        self.view.ready = said

    def leave(self) -> None:
        """Say on the control port that the platform is stopping, while requests are still taken."""
        self.view.leaving = True

    @property
    def memory_enforcement(self) -> str:
        """`cgroup` or `watch`."""
        return self._launchers.default.memory_enforcement

    # --- stop ---------------------------------------------------------------------------------------------------------

    async def drain(self, grace: float) -> bool:
        """Take nothing new; let what runs end. Returns whether all did within `grace` seconds.

        The receiver stays open: a worker that was launched before may still dial back.
        """
        self.dispatch.draining = True
        self.link.go_away("the platform is stopping")
        try:
            await asyncio.wait_for(self.dispatch.drained(), grace)
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """Stop everything now; nothing is left but the data folder."""
        if hasattr(self, "dispatch"):
            self.dispatch.draining = True
            if self._development is not None:
                # A worker at a breakpoint answers nothing, and nobody wants to wait for it.
                await self._pools.stop(0.0)
            await self.dispatch.abort()
            await self._pools.stop(0.0)
        while self._undo:
            undo = self._undo.pop()
            try:
                result = undo()
                if asyncio.iscoroutine(result):
                    await result
            except Exception:
                log.exception("stopping: %s failed", undo)

    # --- what is told -------------------------------------------------------------------------------------------------

    def _on_activate(self, old: Deployment | None, new: Deployment) -> None:
        self._launchers.prepare(new)
        self._pools.activate(new)
        self._pools.end_visits(new.function)
        if old is not None:
            self._pools.retire(old)

    def _on_remove(self, old: Deployment) -> None:
        self._pools.end_visits(old.function)
        self._pools.retire(old)

    def _on_worker(self, worker: Worker) -> None:
        self._watchers.worker_changed()
        if worker.state is State.DEAD:
            self._receiver.drop_worker(worker.id)

    def _on_pool_gone(self) -> None:
        self._deployer.collector.soon()

    def _on_log(self, line: LogLine) -> None:
        text = self._variables.redact(line.function, redact(line.line))
        if self._development is not None:
            self._development.on_line(replace(line, line=text))
        self._logs.append(
            line.function,
            text,
            worker=line.worker,
            invocation=line.invocation,
            stream=line.stream,
            level=line.level,
        )

    def _record(self, invocation: Invocation) -> None:
        self._recorder.record(invocation.trace(details=self._details.wanted(invocation)))
        self._metrics.ended(invocation)
        self._tickets.ended(invocation)
        if self._on_ended is not None or self._watchers:
            summary = invocation.summary()
            self._watchers.ended(summary)
            if self._on_ended is not None:
                self._on_ended(summary)

    def _readings(self) -> Iterator[Reading]:
        return self._metrics.readings(
            Running(
                deployed=[deployment.function for deployment in self.registry.all()],
                live=self.dispatch.live,
                queued=self._admission.waiting_for,
                workers=[(worker.function, worker.state) for worker in self._pools.workers],
                zygotes=self._launchers.zygotes,
                dropped=self._recorder.dropped,
            )
        )


def _bracketed(host: str) -> str:
    """An IPv6 address as URLs write it, anything else as it is."""
    return f"[{host}]" if ":" in host else host


async def _bind(start: Awaitable[object], wanted: TcpAddress, flag: str) -> None:
    try:
        await start
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = f"port {wanted.port} on {wanted.host} is in use; choose another with {flag}"
            raise PlatformFailure(message, code="port_in_use") from error
        where = f"{wanted.host}:{wanted.port}"
        raise PlatformFailure(f"cannot listen on {where} ({flag}): {error.strerror}", code="cannot_listen") from error
