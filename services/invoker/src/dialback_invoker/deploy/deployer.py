"""From the bytes of a bundle to the active version of a function, or to an error that leaves everything as it was.

unpack into staging -> read dialback.toml -> inspect a copy -> rename to the content hash -> store -> activate. What an
entry is, only the bridge says, which serves it: the inspection asks it. Until the rename only the staging folder
exists; from the store's commit on the version is the active one. The version that runs is not touched before that, and
never by a failure.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from dialback_invoker.deploy.bundle import copy_tree, settle, staging_folder, sweep, unpack
from dialback_invoker.deploy.inspect import Inspected, Inspector
from dialback_invoker.deploy.tree import BundleLimits
from dialback_invoker.deployment import Deployment, new_deployment_id
from dialback_invoker.errors import Conflict, InvalidInput, NotFound
from dialback_invoker.function_config import FunctionConfig, load_config
from dialback_invoker.names import check_name, name_key
from dialback_invoker.paths import DataFolder, from_os_error
from dialback_invoker.registry import Registry
from dialback_invoker.secrets.book import Surroundings
from dialback_invoker.store.port import Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Deployed:
    """What a deploy came to; ``unchanged``: the same content is active already, and ``deployment`` is that one."""

    deployment: Deployment
    unchanged: bool


class Deployer:
    """Deploys and removes functions. One deploy of a name at a time; different names at once."""

    def __init__(
        self,
        *,
        data: DataFolder,
        store: Store,
        registry: Registry,
        inspector: Inspector,
        limits: BundleLimits | None = None,
        surroundings: Callable[[str], Surroundings] = lambda _: Surroundings(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._data = data
        self._store = store
        self._registry = registry
        self._inspector = inspector
        self.limits = limits or BundleLimits()
        self._surroundings = surroundings
        self._clock = clock
        self._names: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._disk = asyncio.Lock()  # held while bundles/ and the store must agree

    async def load(self) -> None:
        """Bring the stored functions into the registry and sweep what no deployment uses. Once, at start."""
        deployments = await self._store.active_deployments()
        for deployment in deployments:
            if self._data.bundle(deployment.bundle).is_dir():
                self._registry.activate(deployment)
            else:
                _log.error("function %s is left out: its bundle %s is gone", deployment.function, deployment.bundle)
        in_use = await self._store.bundles_in_use()
        removed = await asyncio.to_thread(sweep, self._data.bundles, in_use)
        if removed:
            _log.info("removed %d bundles that nothing uses", len(removed))

    def upload_path(self) -> Path:
        """A fresh name, on the disk where bundles lie, for a file that is being uploaded; swept if it stays."""
        return staging_folder(self._data.bundles)

    async def deploy(self, name: str | None, bundle: Path) -> Deployed:
        """Deploy the tar.gz or zip at ``bundle`` under ``name``, or under its dialback.toml's name when that is None.

        Raises InvalidInput and its kinds (400, 413), Conflict (409: the name differs from an existing one in case
        only), InspectTimeout (504), DiskFull (507).
        """
        if name is not None:
            check_name(name)
        staging = staging_folder(self._data.bundles)
        try:
            content_hash = await asyncio.to_thread(unpack, bundle, staging, self.limits)
            config = await asyncio.to_thread(load_config, staging)
            chosen = name or config.name
            if chosen is None:
                raise InvalidInput("the function has no name: give one, or set name in dialback.toml")
            lock = self._names.setdefault(name_key(chosen), asyncio.Lock())
            async with lock:
                return await self._deploy(chosen, staging, content_hash, config)
        finally:
            await asyncio.to_thread(shutil.rmtree, staging, ignore_errors=True)

    async def remove(self, name: str) -> Deployment:
        """Forget the function; invocations that run go on to their end. Raises NotFound."""
        async with self._names.setdefault(name_key(name), asyncio.Lock()):
            active = self._registry.resolve(name)
            if active is None:
                raise NotFound(f"there is no function {name[:64]!r}", code="function_not_found")
            await self._store.remove_function(active.function)
            self._registry.remove(active.function)
            return active

    async def _deploy(self, name: str, staging: Path, content_hash: str, config: FunctionConfig) -> Deployed:
        active = self._registry.resolve(name)
        if active is not None:
            if active.function != name:
                raise Conflict(f"there is a function {active.function!r}; names are unique ignoring case")
            # The content holds the configuration, so equal content of a known name is an equal deployment.
            if active.bundle == content_hash and self._data.bundle(content_hash).is_dir():
                return Deployed(active, unchanged=True)
        found = await self._inspect_copy(staging, name, config)
        deployment = Deployment(
            id=new_deployment_id(),
            function=name,
            bundle=content_hash,
            kind=found.kind,
            entry=found.entry,
            config=config,
            created_at=self._clock(),
            blocks=found.blocks,
        )
        # Who cancels us may not do so between the rename, the store's commit and the activation: they belong together.
        commit = asyncio.ensure_future(self._commit(staging, deployment))
        try:
            await asyncio.shield(commit)
        except asyncio.CancelledError:
            await asyncio.wait({commit})
            raise
        return Deployed(deployment, unchanged=False)

    async def _commit(self, staging: Path, deployment: Deployment) -> None:
        async with self._disk:
            fresh = await asyncio.to_thread(settle, staging, self._data.bundles, deployment.bundle)
            try:
                await self._store.add_deployment(deployment)
            except BaseException:
                if fresh:
                    bundle = self._data.bundle(deployment.bundle)
                    await asyncio.to_thread(shutil.rmtree, bundle, ignore_errors=True)
                raise
        self._registry.activate(deployment)

    async def _inspect_copy(self, staging: Path, name: str, config: FunctionConfig) -> Inspected:
        """Inspect a copy, for importing runs the function's code, and that may write into its folder."""
        copy = staging_folder(self._data.bundles)
        try:
            try:
                await asyncio.to_thread(copy_tree, staging, copy)
            except OSError as error:
                raise from_os_error(error, "cannot copy the bundle for its inspection") from error
            return await self._inspector.inspect(copy, config, self._surroundings(name))
        finally:
            await asyncio.to_thread(shutil.rmtree, copy, ignore_errors=True)
