"""Removes what nobody needs: old deployments, bundles and environments of deployments that are gone.

- Of each function the newest deployments are kept (`Retention.deployments`), and besides them the active one and every
  one whose workers still run.
- A bundle or an environment is kept as long as a kept deployment, a running worker or a deploy under way uses it.

It runs after whatever can leave something unused: a deploy, a rollback, a removal, the end of the last worker of a
superseded deployment, and the start. There is no timer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from dialback_invoker.deploy.bundle import remove_unused
from dialback_invoker.deployment import Deployment
from dialback_invoker.environments.builder import Tell
from dialback_invoker.environments.environments import Environments
from dialback_invoker.errors import DialbackError
from dialback_invoker.function_config import FunctionConfig
from dialback_invoker.paths import DataFolder
from dialback_invoker.store.port import Store

_log = logging.getLogger(__name__)


class Elsewhere(Protocol):
    """Keeps what functions need in another place than the data folder: in images."""

    def provided(self, tree: Path, config: FunctionConfig, tell: Tell) -> AbstractAsyncContextManager[bool]:
        """Inside, what the function in ``tree`` needs is ready, and kept; False when it is none of its functions."""
        ...

    async def remove_unused(self, bundles: Collection[str]) -> list[str]:
        """Removes what none of these bundles needs; the names of what is gone. Raises DialbackError."""
        ...


class Collector:
    """`soon` asks for a collection; those that are asked for while one runs become one more."""

    def __init__(
        self,
        data: DataFolder,
        store: Store,
        environments: Environments,
        running: Callable[[], Collection[Deployment]],
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._data = data
        self._store = store
        self._environments = environments
        self._running = running
        self._elsewhere = elsewhere
        self._task: asyncio.Task[None] | None = None
        self._again = False
        self._closed = False
        self.lock = asyncio.Lock()
        """held while bundles, environments and the store must agree"""

    def soon(self) -> None:
        """Collect behind the caller's back. Harmless after `close`."""
        self._again = True
        if self._task is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="collect")

    async def settled(self) -> None:
        """Return when all that was asked for is done."""
        while self._task is not None:
            await asyncio.wait({self._task})

    async def close(self) -> None:
        """Finish what runs, begin nothing more."""
        self._closed = True
        self._again = False
        await self.settled()

    async def collect(self) -> list[str]:
        """Remove what nobody needs; returns the names: deployments, bundles, environments. Raises DialbackError."""
        async with self.lock:
            running = list(self._running())
            removed = await self._store.prune_deployments([each.id for each in running])
            bundles = await self._store.bundles_in_use() | {each.bundle for each in running}
            removed += await asyncio.to_thread(remove_unused, self._data.bundles, bundles)
            keys = await self._store.environments_in_use() | {each.environment for each in running}
            removed += await asyncio.to_thread(self._environments.remove_unused(keys))
            if self._elsewhere is not None:
                removed += await self._elsewhere.remove_unused(bundles)
        if removed:
            _log.info("removed what nothing uses: %s", ", ".join(removed))
        return removed

    async def _run(self) -> None:
        try:
            while self._again:
                self._again = False
                await self.collect()
        except (DialbackError, OSError) as error:
            _log.warning("what nothing uses could not be removed: %s", error)
        finally:
            self._task = None
