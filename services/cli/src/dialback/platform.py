"""Composes the services: edge and invoker in one process, or each on its own.

The seam that `serving` calls. Signals, draining and exit codes are the same for all three: the first SIGTERM or SIGINT
lets what runs come to its end within the grace, the second stops at once; the exit code is 0 when everything ended by
itself and 1 when something had to be cut.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dialback.address import Address, TcpAddress, UnixAddress, bracketed
from dialback.errors import StartProblem, UsageProblem
from dialback.lifetime import ended, say_waiting, stop_signals, tune
from dialback.line_log import LineLog
from dialback.log_format import RenderFor, edge_lines, invoker_lines
from dialback.memory_link import MemoryLink
from dialback.metrics_port import metrics_port
from dialback.ready import Ready
from dialback.serving import OnReady
from dialback.settings import Settings
from dialback.simulators.in_front import in_front
from dialback.tracing import tracing
from dialback_edge.access_log import no_log
from dialback_edge.errors import EdgeError
from dialback_edge.link import LinkClient
from dialback_edge.service import EdgeService
from dialback_edge.settings import LinkSettings
from dialback_invoker.errors import DialbackError
from dialback_invoker.paths import data_folder, run_folder
from dialback_invoker.service import InvokerService
from dialback_invoker.settings import InvokerSettings, LinkTls
from dialback_invoker.settings import TcpAddress as InvokerTcp


async def run_platform(settings: Settings, ready: OnReady) -> int:
    """Edge and invoker in one process. Raises StartProblem."""
    async with (
        stop_signals() as signals,
        _access_log(settings) as lines,
        metrics_port(settings.metrics) as metrics,
        tracing("dialback") as traces,
        in_front(settings) as (own, expose),
    ):
        made = InvokerService(invoker_settings(settings), exposition=metrics.exposition, tracer=traces.invoker)
        invoker = await started(made)
        try:
            edge = EdgeService(own, MemoryLink(invoker), lines or no_log, traces.edge)
            metrics.exposition.add(edge.readings)
            try:
                host, port = await expose(await edge_started(edge))
                invoker.public_url = settings.public_url or f"http://{bracketed(host)}:{port}"
                tune()
                announced = ready(_ready(settings, invoker, invoker.public_url, metrics.url))
                _open_when(announced, lines, edge_lines(settings.log_format))
                await signals.get()
                invoker.leave()
                say_waiting(max(edge.answering, invoker.in_flight), settings)
                return await ended(_drain_both(edge, invoker, settings), signals)
            finally:
                await edge.stop()
        finally:
            await invoker.stop()


async def run_invoker(settings: Settings, ready: OnReady) -> int:
    """The invoker alone. Raises StartProblem."""
    async with (
        stop_signals() as signals,
        _access_log(settings) as lines,
        metrics_port(settings.metrics) as metrics,
        tracing("dialback-invoker") as traces,
    ):
        made = InvokerService(invoker_settings(settings), lines, exposition=metrics.exposition, tracer=traces.invoker)
        invoker = await started(made)
        try:
            tune()
            # What is deployed at the start is there before anybody is told that the invoker is ready.
            invoker.ready(False)
            announced = ready(_ready(settings, invoker, settings.public_url or "", metrics.url))
            announced.add_done_callback(lambda _: invoker.ready(True))
            _open_when(announced, lines, invoker_lines(settings.log_format))
            await signals.get()
            say_waiting(invoker.in_flight, settings)
            return await ended(invoker.drain(settings.drain_grace), signals)
        finally:
            await invoker.stop()


async def run_edge(settings: Settings, ready: OnReady) -> int:
    """The edge alone. Raises StartProblem."""
    async with (
        stop_signals() as signals,
        _access_log(settings) as lines,
        metrics_port(settings.metrics) as metrics,
        tracing("dialback-edge") as traces,
    ):
        link = LinkClient(_link_settings(settings))
        edge = EdgeService(settings.edge, link, lines or no_log, traces.edge)
        metrics.exposition.add(edge.readings)
        try:
            host, port = await edge_started(edge)
            public_url = settings.public_url or f"http://{bracketed(host)}:{port}"
            link.agent = public_url
            try:
                await link.start()
            except EdgeError as error:
                raise StartProblem(str(error), hint=_key_hint(settings)) from error
            tune()
            state = ("ready", "") if link.ready else ("connecting", link.last_error)
            said = Ready(public_url=public_url, link=state[0], link_trouble=state[1], metrics_url=metrics.url)
            _open_when(ready(said), lines, edge_lines(settings.log_format))
            await signals.get()
            say_waiting(edge.answering, settings)
            return await ended(edge.drain(settings.drain_grace, settings.drain_delay), signals)
        finally:
            await edge.stop()
            await link.stop()


# --- starting ---------------------------------------------------------------------------------------------------------


async def started(invoker: InvokerService) -> InvokerService:
    """The invoker, started. Raises StartProblem."""
    try:
        await invoker.start()
    except DialbackError as error:
        raise StartProblem(str(error)) from error
    return invoker


async def edge_started(edge: EdgeService) -> tuple[str, int]:
    """Host and port of the edge, started. Raises StartProblem."""
    try:
        return await edge.start()
    except EdgeError as error:
        raise StartProblem(str(error)) from error


def _ready(settings: Settings, invoker: InvokerService, public_url: str, metrics_url: str) -> Ready:
    return Ready(
        public_url=public_url,
        control_url=invoker.control_url,
        control_public_url=settings.control_public_url or "",
        control_token=invoker.control_token,
        launcher=settings.launcher,
        memory_enforcement=invoker.memory_enforcement,
        metrics_url=metrics_url,
        simulating=settings.conditions.lines(),
    )


def invoker_settings(settings: Settings) -> InvokerSettings:
    """The part of the settings that the invoker knows."""
    return InvokerSettings(
        data_dir=settings.data_dir,
        control=InvokerTcp(host=settings.control.host, port=settings.control.port),
        launcher=settings.launcher,
        docker_host=settings.docker_host or "",
        worker_image=settings.worker_image,
        default=settings.default,
        public_url=settings.public_url or "",
        edge_url=settings.edge_url or "",
        control_public_url=settings.control_public_url or "",
        receiver=_tcp(settings.receiver),
        link=_tcp(settings.link.address) or _path(settings.link.address),
        link_tls=_link_tls(settings),
        link_key_file=settings.link.key_file,
        receiver_url=settings.receiver_url or "",
        queue=settings.queue.limit,
        queue_seconds=settings.queue.timeout or 1e9,
        in_flight=settings.in_flight,
        keep_deployments=settings.keep_deployments,
        zygotes=settings.zygotes,
        zygote_idle=settings.zygote_idle,
        build_seconds=settings.build_timeout,
        build_bytes=settings.build_limit,
        window_budget=settings.window_budget,
        grace=settings.drain_grace,
    )


def _link_settings(settings: Settings) -> LinkSettings:
    """Where the invoker of this data folder listens, and the key that both know. Raises UsageProblem."""
    data = data_folder(settings.data_dir)
    key_file = settings.link.key_file or data.link_key
    address = settings.link.address
    if isinstance(address, TcpAddress):
        if not address.port:
            raise UsageProblem(f"--link {address}: an edge has to know the port on which its invoker listens")
        tls, authority = address.tls, settings.link.tls_ca
        return LinkSettings(host=address.host, port=address.port, key_file=key_file, tls=tls, tls_authority=authority)
    return LinkSettings(path=address.path or run_folder(data).link_socket, key_file=key_file)


def _link_tls(settings: Settings) -> LinkTls | None:
    """The invoker's certificate. Raises UsageProblem when the link needs one and none is named."""
    link = settings.link
    if link.tls_cert is not None and link.tls_key is not None:
        return LinkTls(certificate=link.tls_cert, key=link.tls_key)
    if isinstance(link.address, TcpAddress) and link.address.tls:
        raise UsageProblem(
            f"--link {link.address} needs a certificate", hint="name it with --link-tls-cert and --link-tls-key"
        )
    return None


def _key_hint(settings: Settings) -> str:
    """What to do about a key that cannot be used."""
    key = settings.link.key_file or data_folder(settings.data_dir).link_key
    if key.exists():
        return ""
    return (
        "the invoker makes this key at its first start: copy link.key from its data folder, or name a copy with"
        " --link-key-file"
    )


def _tcp(address: Address) -> InvokerTcp | None:
    return InvokerTcp(host=address.host, port=address.port) if isinstance(address, TcpAddress) else None


def _path(address: Address) -> Path | None:
    return address.path if isinstance(address, UnixAddress) else None


# --- the access log ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _access_log(settings: Settings) -> AsyncIterator[LineLog[Any] | None]:
    """A writer that is not open yet; None when no log is wanted."""
    lines: LineLog[Any] | None = LineLog() if settings.access_log else None
    try:
        yield lines
    finally:
        if lines is not None:
            await asyncio.to_thread(lines.close)


def _open_when(
    announced: "asyncio.Future[bool]",
    lines: LineLog[Any] | None,
    render_for: RenderFor,
) -> None:
    """Write the log's lines once the ready line is out; `render_for` is told whether a person reads them."""

    def opened(said: "asyncio.Future[bool]") -> None:
        if lines is not None and not said.cancelled():
            lines.open(render_for(said.result()))

    announced.add_done_callback(opened)


# --- stopping ---------------------------------------------------------------------------------------------------------


async def _drain_both(edge: EdgeService, invoker: InvokerService, settings: Settings) -> bool:
    async def invocations() -> bool:
        # While a load balancer still sends requests, they are served.
        await asyncio.sleep(settings.drain_delay)
        return await invoker.drain(settings.drain_grace)

    clients, functions = await asyncio.gather(edge.drain(settings.drain_grace, settings.drain_delay), invocations())
    return clients and functions
