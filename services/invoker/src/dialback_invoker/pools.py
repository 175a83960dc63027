"""The pools of all deployments: made when first asked for, retired when a deployment is superseded or removed."""

import asyncio
from collections.abc import Callable

from dialback_invoker.deployment import Deployment
from dialback_invoker.launchers.base import AllowedUrl, Launcher, OnLog, WorkerSpec
from dialback_invoker.names import name_key
from dialback_invoker.paths import DataFolder
from dialback_invoker.pool import Pool
from dialback_invoker.secrets.book import Surroundings
from dialback_invoker.worker import Worker


class Pools:
    """Deployment to pool. A superseded pool lives on until its last invocation is over."""

    def __init__(
        self,
        data: DataFolder,
        launcher: Launcher,
        allow: Callable[[], tuple[AllowedUrl, ...]],
        *,
        on_log: OnLog,
        on_change: Callable[[Worker], None],
        surroundings: Callable[[str], Surroundings] = lambda _: Surroundings(),
    ) -> None:
        """`allow`: the addresses that bridges may dial, `surroundings`: the variables that were set for a function;
        both are asked for when a pool is made.
        """
        self._data = data
        self._launcher = launcher
        self._allow = allow
        self._on_log = on_log
        self._on_change = on_change
        self._surroundings = surroundings
        self._pools: dict[str, Pool] = {}
        self._retiring: dict[asyncio.Task[None], Pool] = {}

    def of(self, deployment: Deployment) -> Pool:
        """The pool of a deployment. Raises what `surroundings` raises."""
        pool = self._pools.get(deployment.id)
        if pool is None:
            pool = self._pools[deployment.id] = self._make(deployment)
        return pool

    @property
    def workers(self) -> list[Worker]:
        """Every worker of every pool, superseded ones too."""
        return [worker for pool in [*self._pools.values(), *self._retiring.values()] for worker in pool.workers]

    def retire(self, deployment: Deployment) -> None:
        """No new work for this deployment; its workers stop when theirs is done."""
        pool = self._pools.pop(deployment.id, None)
        if pool is not None:
            self._see_off_later(pool)

    def _see_off_later(self, pool: Pool) -> None:
        task = asyncio.get_running_loop().create_task(self._see_off(pool))
        self._retiring[task] = pool
        task.add_done_callback(self._retiring.pop)

    def renew(self, function: str) -> None:
        """Its surroundings are others: the next request finds a new pool, what runs ends with what it has."""
        key = name_key(function)
        for identity in [i for i, pool in self._pools.items() if name_key(pool.spec.function) == key]:
            self._see_off_later(self._pools.pop(identity))

    async def stop(self, grace: float) -> None:
        """Stop every worker, giving leases `grace` seconds. Returns when nothing is left of any."""
        await asyncio.gather(*(pool.stop(grace) for pool in [*self._pools.values(), *self._retiring.values()]))
        for task in list(self._retiring):
            await asyncio.gather(task, return_exceptions=True)

    async def _see_off(self, pool: Pool) -> None:
        await pool.retire()
        await pool.closed()

    def _make(self, deployment: Deployment) -> Pool:
        config = deployment.config
        concurrency = deployment.concurrency
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
            event_loop=config.event_loop,
            allow=self._allow(),
        )
        return Pool(
            spec,
            self._launcher,
            max_workers=config.max_workers,
            concurrency=concurrency,
            idle_seconds=config.idle_seconds,
            start_seconds=config.timeouts.start,
            on_log=self._on_log,
            on_change=self._on_change,
        )
