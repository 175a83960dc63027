"""The pools of all deployments: made when first asked for, retired when a deployment is superseded or removed.

A deployment that is not active can be visited: a request with a ticket may ask for it. Its workers go soon after, and
at once when another deployment of the function is activated or the function is removed.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Final

from dialback_invoker.deployment import Deployment
from dialback_invoker.function_config import FunctionConfig
from dialback_invoker.launchers.base import AllowedUrl, Launcher, OnLog, WorkerPython, WorkerSpec
from dialback_invoker.names import name_key
from dialback_invoker.paths import DataFolder
from dialback_invoker.pool import OnStart, Pool
from dialback_invoker.secrets.book import Surroundings
from dialback_invoker.worker import Worker

VISIT_IDLE_SECONDS: Final = 30.0
"""How long a worker of a visited deployment waits for another request."""


@dataclass(frozen=True, slots=True)
class Launching:
    """A launcher, and where its workers find the receiver."""

    launcher: Launcher
    callback_url: str
    """What an invocation tells the bridge to dial."""
    allow: tuple[AllowedUrl, ...]
    """The addresses that bridges may dial."""


class Pools:
    """Deployment to pool. A superseded pool lives on until its last invocation is over."""

    def __init__(
        self,
        data: DataFolder,
        launching: Callable[[FunctionConfig], Launching],
        *,
        on_log: OnLog,
        on_change: Callable[[Worker], None],
        on_start: OnStart | None = None,
        python_of: Callable[[str], WorkerPython | None],
        on_gone: Callable[[], None],
        surroundings: Callable[[str], Surroundings] = lambda _: Surroundings(),
    ) -> None:
        """`launching`: how workers of a function are launched, `surroundings`: the variables that were set for it;
        both are asked for when a pool is made. `python_of`: what starts a worker in the environment of that key.
        `on_gone` is told when nothing is left of a pool that was retired.
        """
        self._data = data
        self._launching = launching
        self._on_log = on_log
        self._on_change = on_change
        self._on_start = on_start
        self._python_of = python_of
        self._on_gone = on_gone
        self._surroundings = surroundings
        self._pools: dict[str, Pool] = {}
        self._visited: dict[str, Pool] = {}
        self._retiring: dict[asyncio.Task[None], Pool] = {}
        self._deployments: dict[Pool, Deployment] = {}

    def of(self, deployment: Deployment) -> Pool:
        """The pool of a deployment. Raises what `surroundings` raises."""
        pool = self._pools.get(deployment.id)
        if pool is None:
            pool = self._pools[deployment.id] = self._make(
                deployment, deployment.config.idle_seconds, deployment.config.warm
            )
            self._deployments[pool] = deployment
        return pool

    def visit(self, deployment: Deployment) -> Pool:
        """The pool of a deployment that is not active."""
        pool = self._visited.get(deployment.id)
        if pool is None:
            idle_seconds = min(deployment.config.idle_seconds, VISIT_IDLE_SECONDS)
            pool = self._visited[deployment.id] = self._make(deployment, idle_seconds, warm=0)
            self._deployments[pool] = deployment
        return pool

    def activate(self, deployment: Deployment) -> None:
        """It serves from now on: starts what it keeps warm."""
        if deployment.config.warm:
            self.of(deployment).warm_up()

    @property
    def workers(self) -> list[Worker]:
        """Every worker of every pool, superseded ones too."""
        return [worker for pool in self._all() for worker in pool.workers]

    @property
    def deployments(self) -> list[Deployment]:
        """Every deployment that has, or may start, workers: superseded ones until their last work is done, visited ones
        while they have any.
        """
        idle = {id(pool) for pool in self._visited.values() if not pool.workers and not pool.waiting}
        return [deployment for pool, deployment in self._deployments.items() if id(pool) not in idle]

    def retire(self, deployment: Deployment) -> None:
        """No new work for this deployment; its workers stop when theirs is done."""
        self._leave(deployment, self._see_off)

    def discard(self, deployment: Deployment) -> None:
        """The same for a version that never served: a worker that still starts is ended, who waits goes elsewhere."""
        self._leave(deployment, lambda pool: pool.stop(0.0, code="retired"))

    def _leave(self, deployment: Deployment, end: Callable[[Pool], Coroutine[None, None, None]]) -> None:
        pool = self._pools.pop(deployment.id, None)
        if pool is not None:
            self._retire(pool, end)

    def end_visits(self, function: str) -> None:
        """No new work for deployments of ``function`` that are visited."""
        self._renounce(self._visited, function)

    def renew(self, function: str) -> None:
        """Its surroundings are others: the next request finds a new pool, what runs ends with what it has."""
        self._renounce(self._pools, function)
        self._renounce(self._visited, function)

    def _renounce(self, pools: dict[str, Pool], function: str) -> None:
        key = name_key(function)
        for identity in [identity for identity, pool in pools.items() if name_key(pool.spec.function) == key]:
            self._retire(pools.pop(identity), self._see_off)

    def _all(self) -> list[Pool]:
        return [*self._pools.values(), *self._visited.values(), *self._retiring.values()]

    def _retire(self, pool: Pool, end: Callable[[Pool], Coroutine[None, None, None]]) -> None:
        self._let_go(pool)
        task = asyncio.get_running_loop().create_task(end(pool))
        self._retiring[task] = pool
        task.add_done_callback(self._gone)

    async def stop(self, grace: float) -> None:
        """Stop every worker, giving leases `grace` seconds. Returns when nothing is left of any."""
        await asyncio.gather(*(pool.stop(grace) for pool in self._all()))
        for task in list(self._retiring):
            await asyncio.gather(task, return_exceptions=True)

    async def _see_off(self, pool: Pool) -> None:
        await pool.retire()
        await pool.closed()

    def _let_go(self, pool: Pool) -> None:
        if not any(other.spec == pool.spec for other in (*self._pools.values(), *self._visited.values())):
            pool.let_go()

    def _gone(self, task: asyncio.Task[None]) -> None:
        pool = self._retiring.pop(task)
        self._let_go(pool)
        del self._deployments[pool]
        self._on_gone()

    def _make(self, deployment: Deployment, idle_seconds: float, warm: int) -> Pool:
        config = deployment.config
        concurrency = deployment.concurrency
        launching = self._launching(config)
        surroundings = self._surroundings(deployment.function)
        spec = WorkerSpec(
            function=deployment.function,
            deployment=deployment.id,
            bundle=self._data.bundle(deployment.bundle),
            entry=deployment.entry,
            kind=deployment.kind,
            env={**config.env, **surroundings.plain},
            secrets=surroundings.secrets,
            memory_mb=config.memory_mb,
            concurrency=concurrency,
            callback_socket=config.callback_socket,
            callback_url=launching.callback_url,
            allow=launching.allow,
            network=config.network,
            sandbox=config.sandbox,
            cpus=config.cpus,
            event_loop=config.event_loop,
            preload=config.preload,
            python=self._python_of(deployment.environment),
        )
        return Pool(
            spec,
            launching.launcher,
            max_workers=config.max_workers,
            concurrency=concurrency,
            warm=warm,
            pause_idle=config.idle == "pause",
            idle_seconds=idle_seconds,
            start_seconds=config.timeouts.start,
            on_log=self._on_log,
            on_change=self._on_change,
            on_start=self._on_start,
        )
