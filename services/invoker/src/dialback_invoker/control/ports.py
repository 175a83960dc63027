"""What the control API needs of the running platform. The composition root implements it; tests have a small one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from dialback_invoker.deploy.deployer import Deployer
from dialback_invoker.deployment import Deployment
from dialback_invoker.logs import LogBook
from dialback_invoker.metrics.exposition import Exposition
from dialback_invoker.recorder import Recorder
from dialback_invoker.registry import Registry
from dialback_invoker.secrets.book import VariableBook
from dialback_invoker.store.port import Store, Trace
from dialback_invoker.watchers import Watchers

State = Literal["starting", "ready", "draining"]
Mode = Literal["buffered", "callback", "tunnel"]


@dataclass(frozen=True, slots=True)
class PlatformFacts:
    """What does not change while the platform runs."""

    version: str
    public_url: str
    """as users reach the edge, without a slash at the end"""
    control_url: str
    launcher: str
    data_dir: str
    memory_enforcement: str
    """``cgroup`` or ``watch``"""
    started_at: float
    """Unix seconds"""
    edge_url: str = ""
    """as the invoker itself reaches the edge; empty: as ``public_url``"""


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """One worker at this moment."""

    id: str
    function: str
    deployment: str
    state: str
    pid: int | None
    in_flight: int
    served: int
    started_at: float
    """Unix seconds"""
    rss_bytes: int | None


@dataclass(frozen=True, slots=True)
class RunFrame:
    """A frame that passed a hop while a run was watched."""

    at: float
    """`time.monotonic` seconds"""
    hop: str
    """``link``, ``socket`` or ``runtime``"""
    direction: str
    """``up`` towards the client, ``down`` towards the worker"""
    type: str
    size: int


class RunFeed(Protocol):
    """The frames of one run, from before its request is sent until its trace was given to the recorder."""

    def __aiter__(self) -> AsyncIterator[RunFrame]: ...

    def close(self) -> None:
        """Stop watching; the iteration ends. Harmless when repeated."""
        ...


class PlatformView(Protocol):
    """The running platform, as the control API sees it. Nothing here waits; all calls come on the loop's thread."""

    def state(self) -> State: ...

    def facts(self) -> PlatformFacts: ...

    def urls(self, function: str) -> Sequence[str]:
        """The public addresses of a function, both forms."""
        ...

    def workers(self) -> Sequence[WorkerFacts]: ...

    def in_flight(self) -> int:
        """How many invocations are not over."""
        ...

    def live_invocations(self, limit: int | None = None) -> Sequence[Trace]:
        """Summaries, as far as they go, of the invocations in flight, newest first, at most ``limit``."""
        ...

    def live_invocation(self, invocation: str) -> dict[str, Any] | None:
        """The trace, as far as it goes, of one invocation in flight."""
        ...

    def mint_ticket(self, function: str, mode: Mode, deployment: Deployment | None = None) -> str:
        """A ticket for one request to ``function`` in ``mode``: single use, good for 60 seconds. ``deployment`` answers
        it, active or not; None: the active one.
        """
        ...

    def subscribe_run(self, ticket: str) -> RunFeed:
        """Watch the request that will carry ``ticket``; from this call on, before the request is sent."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes work with."""

    platform: PlatformView
    deployer: Deployer
    registry: Registry
    store: Store
    recorder: Recorder
    logs: LogBook
    watchers: Watchers
    variables: VariableBook
    exposition: Exposition = field(default_factory=Exposition)
