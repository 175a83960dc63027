"""Composes the services: edge and invoker in one process, or each on its own.

The seam that `serving` calls. Signals, draining and exit codes are the same for all three: the first SIGTERM or SIGINT
lets what runs come to its end within the grace, the second stops at once; the exit code is 0 when everything ended by
itself and 1 when something had to be cut.
"""

import asyncio
import gc
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from rich.text import Text

from dialback.access_view import HumanLine
from dialback.address import Address, TcpAddress, UnixAddress, bracketed
from dialback.errors import StartProblem
from dialback.line_log import LineLog
from dialback.ready import Ready
from dialback.serving import OnReady
from dialback.settings import Settings
from dialback.simulators.in_front import in_front
from dialback.terminal import error_console
from dialback_edge.access_log import AccessRecord, no_log
from dialback_edge.errors import EdgeError, UpstreamUnavailable
from dialback_edge.link import LinkClient
from dialback_edge.service import EdgeService
from dialback_edge.settings import LinkSettings
from dialback_invoker.errors import DialbackError
from dialback_invoker.paths import data_folder, run_folder
from dialback_invoker.service import InvokerService
from dialback_invoker.settings import InvokerSettings
from dialback_invoker.settings import TcpAddress as InvokerTcp
from dialback_wire import memory
from dialback_wire.errors import LocalError
from dialback_wire.messages import Request
from dialback_wire.mux import Mux
from dialback_wire.sink import StreamSink
from dialback_wire.stream import Stream
from dialback_wire.tables import Seat

CUT = 1
"""Exit code of a stop that had to cut something."""


class MemoryLink:
    """An edge's upstream whose invoker is in the same process."""

    def __init__(self, invoker: InvokerService) -> None:
        defer = asyncio.get_running_loop().call_soon
        self._mux, _ = memory.join(lambda write: Mux(Seat.EDGE, write=write, defer=defer), invoker.join_link, defer)

    @property
    def ready(self) -> bool:
        """Whether a request could be opened now."""
        return self._mux.ready and not self._mux.going_away

    def open(self, request: Request, sink: StreamSink) -> Stream:
        """Ask the invoker. Raises UpstreamUnavailable once it is stopping."""
        if self.ready:
            try:
                return self._mux.open_request(request, sink)
            except LocalError as error:
                raise UpstreamUnavailable(str(error)) from error
        raise UpstreamUnavailable("The platform is stopping.")


async def run_platform(settings: Settings, ready: OnReady) -> int:
    """Edge and invoker in one process. Raises StartProblem."""
    async with _stop_signals() as signals, _access_log(settings) as lines, in_front(settings) as (own, expose):
        invoker = await _started(InvokerService(_invoker_settings(settings)))
        try:
            edge = EdgeService(own, MemoryLink(invoker), lines or no_log)
            try:
                host, port = await expose(await _edge_started(edge))
                invoker.public_url = settings.public_url or f"http://{bracketed(host)}:{port}"
                _tune()
                announced = ready(_ready(settings, invoker, invoker.public_url))
                _open_when(announced, lines, lambda person: HumanLine.for_output() if person else AccessRecord.line)
                await signals.get()
                invoker.leave()
                _say_waiting(max(edge.answering, invoker.in_flight), settings)
                return await _ended(_drain_both(edge, invoker, settings), signals)
            finally:
                await edge.stop()
        finally:
            await invoker.stop()


async def run_invoker(settings: Settings, ready: OnReady) -> int:
    """The invoker alone. Raises StartProblem."""
    async with _stop_signals() as signals, _access_log(settings) as lines:
        invoker = await _started(InvokerService(_invoker_settings(settings), lines))
        try:
            _tune()
            _open_when(ready(_ready(settings, invoker, settings.public_url or "")), lines, lambda _: json.dumps)
            await signals.get()
            _say_waiting(invoker.in_flight, settings)
            return await _ended(invoker.drain(settings.drain_grace), signals)
        finally:
            await invoker.stop()


async def run_edge(settings: Settings, ready: OnReady) -> int:
    """The edge alone. Raises StartProblem."""
    async with _stop_signals() as signals, _access_log(settings) as lines:
        link = LinkClient(_link_settings(settings))
        edge = EdgeService(settings.edge, link, lines or no_log)
        try:
            host, port = await _edge_started(edge)
            public_url = settings.public_url or f"http://{bracketed(host)}:{port}"
            link.agent = public_url
            try:
                await link.start()
            except EdgeError as error:
                raise StartProblem(str(error), hint=_key_hint(settings)) from error
            _tune()
            state = ("ready", "") if link.ready else ("connecting", link.last_error)
            announced = ready(Ready(public_url=public_url, link=state[0], link_trouble=state[1]))
            _open_when(announced, lines, lambda _: AccessRecord.line)
            await signals.get()
            _say_waiting(edge.answering, settings)
            return await _ended(edge.drain(settings.drain_grace, settings.drain_delay), signals)
        finally:
            await edge.stop()
            await link.stop()


def _tune() -> None:
    """Settings of the interpreter for a process that relays: what was loaded stays for good, and is not looked through
    at each collection of garbage; a thread that writes to the store gives way to the loop within a millisecond.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    sys.setswitchinterval(0.001)


# --- starting ---------------------------------------------------------------------------------------------------------


async def _started(invoker: InvokerService) -> InvokerService:
    try:
        await invoker.start()
    except DialbackError as error:
        raise StartProblem(str(error)) from error
    return invoker


async def _edge_started(edge: EdgeService) -> tuple[str, int]:
    try:
        return await edge.start()
    except EdgeError as error:
        raise StartProblem(str(error)) from error


def _ready(settings: Settings, invoker: InvokerService, public_url: str) -> Ready:
    return Ready(
        public_url=public_url,
        control_url=invoker.control_url,
        control_token=invoker.control_token,
        launcher=settings.launcher,
        memory_enforcement=invoker.memory_enforcement,
        simulating=settings.conditions.lines(),
    )


def _invoker_settings(settings: Settings) -> InvokerSettings:
    return InvokerSettings(
        data_dir=settings.data_dir,
        control=InvokerTcp(host=settings.control.host, port=settings.control.port),
        launcher=settings.launcher,
        default=settings.default,
        public_url=settings.public_url or "",
        receiver=_tcp(settings.receiver),
        link=_tcp(settings.link.address) or _path(settings.link.address),
        link_key_file=settings.link.key_file,
        receiver_url=settings.receiver_url or "",
        queue=settings.queue.limit,
        queue_seconds=settings.queue.timeout or 1e9,
        in_flight=settings.in_flight,
        window_budget=settings.window_budget,
        grace=settings.drain_grace,
    )


def _link_settings(settings: Settings) -> LinkSettings:
    """Where the invoker of this data folder listens, and the key that both know."""
    data = data_folder(settings.data_dir)
    key_file = settings.link.key_file or data.link_key
    address = settings.link.address
    if isinstance(address, TcpAddress):
        return LinkSettings(host=address.host, port=address.port, key_file=key_file)
    return LinkSettings(path=address.path or run_folder(data).link_socket, key_file=key_file)


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
    render_for: Callable[[bool], Callable[[Any], str]],
) -> None:
    """Write the log's lines once the ready line is out; `render_for` is told whether a person reads them."""

    def opened(said: "asyncio.Future[bool]") -> None:
        if lines is not None and not said.cancelled():
            lines.open(render_for(said.result()))

    announced.add_done_callback(opened)


# --- stopping ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _stop_signals() -> AsyncIterator[asyncio.Queue[int]]:
    """SIGTERM and SIGINT, one entry each."""
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[int] = asyncio.Queue()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, signals.put_nowait, number)
    try:
        yield signals
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
            # One more signal, while the last things are put away, must not look like a crash.
            signal.signal(number, signal.SIG_IGN)


def _say_waiting(count: int, settings: Settings) -> None:
    """Nothing for a stop that has nothing to wait for."""
    if count:
        longest = f"{settings.drain_delay + settings.drain_grace:g} s at most"
        what = "1 request" if count == 1 else f"{count:,} requests"
        said = Text(f"stopping: waiting for {what} to finish, {longest}; Ctrl-C again stops at once")
        with suppress(OSError):
            error_console().print(said, soft_wrap=True)


async def _drain_both(edge: EdgeService, invoker: InvokerService, settings: Settings) -> bool:
    async def invocations() -> bool:
        # While a load balancer still sends requests, they are served.
        await asyncio.sleep(settings.drain_delay)
        return await invoker.drain(settings.drain_grace)

    clients, functions = await asyncio.gather(edge.drain(settings.drain_grace, settings.drain_delay), invocations())
    return clients and functions


async def _ended(drain: Coroutine[None, None, bool], signals: asyncio.Queue[int]) -> int:
    """The exit code of a drain that a second signal may cut short."""
    draining = asyncio.create_task(drain)
    second = asyncio.create_task(signals.get())
    either: tuple[asyncio.Task[bool] | asyncio.Task[int], ...] = (draining, second)
    done, pending = await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    return 0 if draining in done and draining.result() else CUT
