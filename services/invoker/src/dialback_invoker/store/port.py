"""What the invoker asks of a store. SQLite answers now; nothing here may stand in the way of PostgreSQL.

Every method is a whole transaction and may be called from any task. Times are Unix seconds. Names of functions are
compared ignoring case. Failures are StoreFailure and its kinds, or DiskFull.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dialback_invoker.deployment import Deployment

Trace = dict[str, Any]
"""one invocation, as JSON: id, function, deployment, mode, method, path, received_at, status, verdict, marks, ..."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a worker wrote. ``seq`` grows with every line of the data folder and orders them."""

    seq: int
    at: float
    function: str
    worker: str
    invocation: str
    """empty: not attributed"""
    stream: str
    """stdout, stderr, log, or platform for what Dialback itself has to say"""
    level: str
    line: str


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable that somebody set for a function. ``value`` of a secret is sealed (`secrets.keys`)."""

    function: str
    name: str
    value: str = field(repr=False)
    secret: bool
    set_at: float


@dataclass(frozen=True, slots=True)
class Retention:
    """How much is kept; older things go first."""

    invocations: int = 10_000
    invocation_age: float = 7 * 86_400.0
    """seconds"""
    log_lines: int = 10_000
    """per function"""
    deployments: int = 10
    """per function, the active one among them; see `Store.prune_deployments`"""


class Store(Protocol):
    """Functions, deployments, invocations, logs and the control token's hash."""

    async def active_deployments(self) -> list[Deployment]:
        """The active deployment of every function, by name."""
        ...

    async def deployments(self, function: str) -> list[Deployment]:
        """All deployments of a function, newest first; empty for a function that is not there."""
        ...

    async def add_deployment(self, deployment: Deployment) -> None:
        """Store a deployment and make it its function's active one, in one transaction."""
        ...

    async def remove_function(self, function: str) -> bool:
        """Forget a function, its deployments, variables and logs; False when there was none. Invocations stay."""
        ...

    async def variables(self) -> list[Variable]:
        """Every variable that was set, of all functions, also of those that are not deployed yet."""
        ...

    async def change_variables(self, function: str, put: Sequence[Variable], remove: Sequence[str]) -> None:
        """Set and remove variables of one function, in one transaction."""
        ...

    async def replace_variables(self, variables: Sequence[Variable]) -> None:
        """Store new values of variables that are there, in one transaction."""
        ...

    async def activate(self, deployment: Deployment) -> None:
        """Make a stored deployment its function's active one, with the environment that it has now. Raises NotFound
        when it is stored no more.
        """
        ...

    async def prune_deployments(self, running: Collection[str]) -> list[str]:
        """Forget all but the newest deployments of each function, as many as the retention says; never the active
        one, nor one of ``running``. Returns the ids of the forgotten.
        """
        ...

    async def bundles_in_use(self) -> set[str]:
        """Content hashes of all stored deployments."""
        ...

    async def environments_in_use(self) -> set[str]:
        """Keys of the environments of all stored deployments."""
        ...

    async def add_invocations(self, traces: Sequence[Trace]) -> None:
        """Store ended invocations; one whose id is there already replaces it."""
        ...

    async def invocations(self, function: str | None = None, limit: int = 50) -> list[Trace]:
        """Summaries, newest first: a trace without marks, gaps, request, payload and frames."""
        ...

    async def invocation(self, invocation: str) -> Trace | None:
        """The whole trace of one invocation; ``last`` is the one received last."""
        ...

    async def add_logs(self, lines: Sequence[LogLine]) -> None:
        """Store lines."""
        ...

    async def logs(self, function: str, since: float = 0.0, limit: int = 1000, invocation: str = "") -> list[LogLine]:
        """The last ``limit`` lines of a function written at or after ``since``, oldest first; those of one
        ``invocation`` if it is named.
        """
        ...

    async def recent_logs(self, limit: int) -> list[LogLine]:
        """The last ``limit`` lines of all functions, oldest first."""
        ...

    async def last_log_seq(self) -> int:
        """The highest ``seq`` ever stored, 0 for none."""
        ...

    async def setting(self, key: str) -> str | None:
        """A small value of the platform's own, for example the control token's hash."""
        ...

    async def set_setting(self, key: str, value: str) -> None:
        """Store such a value."""
        ...

    async def prune(self, now: float, functions: Collection[str] | None = None) -> None:
        """Apply the retention; with ``functions`` the logs of these alone."""
        ...

    async def close(self) -> None:
        """Finish what was begun and let go of the database; harmless when repeated."""
        ...
