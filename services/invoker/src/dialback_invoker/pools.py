"""The pools of all deployments: made when first asked for, retired when a deployment is superseded or removed."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from dialback_invoker.deployment import Deployment
from dialback_invoker.function_config import FunctionConfig
from dialback_invoker.launchers.base import AllowedUrl, Launcher, OnLog, WorkerPython, WorkerSpec
from dialback_invoker.paths import DataFolder
from dialback_invoker.pool import Pool
from dialback_invoker.worker import Worker


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
        python_of: Callable[[str], WorkerPython | None],
        on_gone: Callable[[], None],
    ) -> None:
        """`launching`: how workers of a function are launched, asked for when a pool is made. `python_of`: what starts
        a worker in the environment of that key. `on_gone` is told when nothing is left of a superseded deployment.
        """
        self._data = data
        self._launching = launching
        self._on_log = on_log
        self._on_change = on_change
        self._python_of = python_of
        self._on_gone = on_gone
        self._pools: dict[str, Pool] = {}
        self._retiring: dict[asyncio.Task[None], Pool] = {}
        self._deployments: dict[Pool, Deployment] = {}

    def of(self, deployment: Deployment) -> Pool:
        """The pool of a deployment."""
        pool = self._pools.get(deployment.id)
        if pool is None:
            pool = self._pools[deployment.id] = self._make(deployment)
            self._deployments[pool] = deployment
        return pool

    def activate(self, deployment: Deployment) -> None:
        """It serves from now on: starts what it keeps warm."""
        if deployment.config.warm:
            self.of(deployment).warm_up()

    @property
    def workers(self) -> list[Worker]:
        """Every worker of every pool, superseded ones too."""
        return [worker for pool in [*self._pools.values(), *self._retiring.values()] for worker in pool.workers]

    @property
    def deployments(self) -> list[Deployment]:
        """Every deployment that has, or may start, workers: superseded ones until their last work is done."""
        return list(self._deployments.values())

    def retire(self, deployment: Deployment) -> None:
        """No new work for this deployment; its workers stop when theirs is done."""
        pool = self._pools.pop(deployment.id, None)
        if pool is not None:
            task = asyncio.get_running_loop().create_task(self._see_off(pool))
            self._retiring[task] = pool
            task.add_done_callback(self._gone)

    async def stop(self, grace: float) -> None:
        """Stop every worker, giving leases `grace` seconds. Returns when nothing is left of any."""
        await asyncio.gather(*(pool.stop(grace) for pool in [*self._pools.values(), *self._retiring.values()]))
        for task in list(self._retiring):
            await asyncio.gather(task, return_exceptions=True)

    async def _see_off(self, pool: Pool) -> None:
        await pool.retire()
        await pool.closed()

    def _gone(self, task: asyncio.Task[None]) -> None:
        del self._deployments[self._retiring.pop(task)]
        self._on_gone()

    def _make(self, deployment: Deployment) -> Pool:
        config = deployment.config
        concurrency = deployment.concurrency
        launching = self._launching(config)
        spec = WorkerSpec(
            function=deployment.function,
            deployment=deployment.id,
            bundle=self._data.bundle(deployment.bundle),
            entry=deployment.entry,
            kind=deployment.kind,
            env=config.env,
            memory_mb=config.memory_mb,
            concurrency=concurrency,
            callback_socket=config.callback_socket,
            callback_url=launching.callback_url,
            allow=launching.allow,
            network=config.network,
            sandbox=config.sandbox,
            cpus=config.cpus,
            event_loop=config.event_loop,
            python=self._python_of(deployment.environment),
        )
        return Pool(
            spec,
            launching.launcher,
            max_workers=config.max_workers,
            concurrency=concurrency,
            idle_seconds=config.idle_seconds,
            warm=config.warm,
            pause_idle=config.idle == "pause",
            start_seconds=config.timeouts.start,
            on_log=self._on_log,
            on_change=self._on_change,
        )
