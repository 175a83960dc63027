"""The running platform as the control API sees it."""

import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from dialback_invoker.control.ports import Mode, PlatformFacts, RunFeed, State, WorkerFacts
from dialback_invoker.deployment import Deployment
from dialback_invoker.dispatch import Dispatch
from dialback_invoker.launchers.base import Launcher
from dialback_invoker.pools import Pools
from dialback_invoker.tickets import Tickets

VERSION = "0.1.0"


class View:
    """Implements `control.ports.PlatformView`."""

    def __init__(
        self,
        dispatch: Dispatch,
        pools: Pools,
        tickets: Tickets,
        launcher: Launcher,
        *,
        data_dir: str,
        public_url: Callable[[], str],
    ) -> None:
        """`public_url` is asked each time: an edge may say it later, or another time differently."""
        self.control_url = ""
        self.ready = False
        self.leaving = False
        self._dispatch = dispatch
        self._pools = pools
        self._tickets = tickets
        self._launcher = launcher
        self._data_dir = data_dir
        self._public_url = public_url
        self._started_at = time.time()

    def state(self) -> State:
        """`starting`, `ready`, `draining`."""
        if self.leaving or self._dispatch.draining:
            return "draining"
        return "ready" if self.ready else "starting"

    def facts(self) -> PlatformFacts:
        """What does not change."""
        return PlatformFacts(
            version=VERSION,
            public_url=self._public_url(),
            control_url=self.control_url,
            launcher=self._launcher.name,
            data_dir=self._data_dir,
            memory_enforcement=self._launcher.memory_enforcement,
            started_at=self._started_at,
        )

    def urls(self, function: str) -> Sequence[str]:
        """Both forms of a function's address; none while no edge is known."""
        public = self._public_url()
        if not public:
            return ()
        parts = urlsplit(public)
        port = f":{parts.port}" if parts.port else ""
        return (f"{public}/@{function}/", f"{parts.scheme}://{function.lower()}.localhost{port}/")

    def workers(self) -> Sequence[WorkerFacts]:
        """Every worker."""
        return [
            WorkerFacts(
                id=worker.id,
                function=worker.function,
                deployment=worker.deployment,
                state=worker.state.value,
                pid=worker.pid,
                in_flight=worker.in_flight,
                served=worker.served,
                started_at=worker.started_at,
                rss_bytes=worker.rss(),
            )
            for worker in self._pools.workers
        ]

    def in_flight(self) -> int:
        """How many invocations are not over."""
        return len(self._dispatch.live)

    def live_invocations(self, limit: int | None = None) -> Sequence[dict[str, Any]]:
        """What is in flight, newest first."""
        return [invocation.summary() for invocation in islice(reversed(self._dispatch.live), limit)]

    def live_invocation(self, invocation: str) -> dict[str, Any] | None:
        """The trace of one invocation in flight, as far as it goes."""
        live = self._dispatch.live
        if invocation == "last":
            return live[-1].trace() if live else None
        return next((one.trace() for one in live if one.request.id == invocation), None)

    def mint_ticket(self, function: str, mode: Mode, deployment: Deployment | None = None) -> str:
        """A run ticket."""
        return self._tickets.mint(function, mode, deployment)

    def subscribe_run(self, ticket: str) -> RunFeed:
        """Watch the run of a ticket."""
        return self._tickets.subscribe(ticket)
