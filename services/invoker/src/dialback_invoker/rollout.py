"""A new version serves once one worker of it is ready; until then, and if it never is, the last good one serves.

Without it a version serves from its activation on, and a start that fails is the first request's trouble. `dialback
dev` wants it otherwise: a save that cannot start must not take the place of what runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from dialback_invoker.deployment import Deployment
from dialback_invoker.errors import DialbackError, Overloaded
from dialback_invoker.function_config import A_DAY
from dialback_invoker.names import name_key
from dialback_invoker.pools import Pools
from dialback_invoker.registry import Registry

Adapt = Callable[[Deployment], Deployment]


@dataclass(slots=True)
class _Stage:
    """A version on its way to serve."""

    deployment: Deployment
    task: asyncio.Task[DialbackError | None]


class Rollout:
    """Which deployments serve; the `Directory` of the dispatch. `adapt` may change how a deployment is run."""

    def __init__(self, registry: Registry, pools: Pools, adapt: Adapt) -> None:
        self._registry = registry
        self._pools = pools
        self._adapt = adapt
        self._serving: dict[str, Deployment] = {}
        self._stages: dict[str, _Stage] = {}

    def listen(self) -> None:
        """From now on stage what is activated. What was active before is staged when `settle` asks for it."""

        def activated(_: Deployment | None, new: Deployment) -> None:
            self._stage(new)

        self._registry.listen(activated, self._remove)

    def resolve(self, name: str) -> Deployment | None:
        """The version that serves; while there is none yet, the one that is starting."""
        key = name_key(name)
        serving = self._serving.get(key)
        if serving is None and (stage := self._stages.get(key)) is not None and not stage.task.done():
            return stage.deployment
        return serving

    def serving(self, name: str) -> Deployment | None:
        """The version that is ready and serves, or None."""
        return self._serving.get(name_key(name))

    async def settle(self, name: str) -> DialbackError | None:
        """Wait until the active version of `name` serves, starting it again if that failed before.

        Returns why it cannot; the version before goes on then.
        """
        key = name_key(name)
        active = self._registry.resolve(name)
        if active is None:
            return None
        serving, stage = self._serving.get(key), self._stages.get(key)
        if serving is not None and serving.id == active.id:
            return None
        if stage is None or stage.deployment.id != active.id or stage.task.done():
            stage = self._stage(active)
        try:
            return await asyncio.shield(stage.task)
        except asyncio.CancelledError:
            if stage.task.cancelled():
                return Overloaded("a later version has taken its place", code="superseded")
            raise

    def _stage(self, active: Deployment) -> _Stage:
        key = name_key(active.function)
        earlier = self._stages.get(key)
        deployment = self._adapt(active)
        stage = _Stage(deployment, asyncio.get_running_loop().create_task(self._start(key, deployment)))
        self._stages[key] = stage
        if earlier is not None and not earlier.task.done():
            earlier.task.cancel()
            self._pools.discard(earlier.deployment)
        return stage

    async def _start(self, key: str, deployment: Deployment) -> DialbackError | None:
        try:
            await self._pools.of(deployment).warm()
        except DialbackError as error:
            self._pools.discard(deployment)
            return error
        before = self._serving.get(key)
        self._serving[key] = deployment
        if before is not None:
            self._pools.retire(before)
        return None

    def _remove(self, removed: Deployment) -> None:
        key = name_key(removed.function)
        stage, serving = self._stages.pop(key, None), self._serving.pop(key, None)
        if stage is not None:
            stage.task.cancel()
            self._pools.retire(stage.deployment)
        if serving is not None:
            self._pools.retire(serving)


def patient(deployment: Deployment) -> Deployment:
    """The same version for somebody who sits in front of it: no time-outs, one worker that stays."""
    config = deployment.config
    none = config.timeouts.model_copy(update=dict.fromkeys(("start", "head", "idle", "total"), 0.0))
    update = {"timeouts": none, "max_workers": 1, "idle_seconds": A_DAY * 365}
    return replace(deployment, config=config.model_copy(update=update))
