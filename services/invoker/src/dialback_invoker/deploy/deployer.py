"""From the bytes of a bundle to the active version of a function, or to an error that leaves everything as it was.

unpack into staging -> read dialback.toml -> provide its environment -> inspect a copy -> rename to the content hash ->
store -> activate. What an entry is, only the bridge says, which serves it: the inspection asks it, in the environment
that workers will have. Until the rename only the staging folder exists; from the store's commit on the version is the
active one. The version that runs is not touched before that, and never by a failure.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

from dialback_invoker.deploy.bundle import copy_tree, settle, staging_folder, sweep, unpack
from dialback_invoker.deploy.collector import Collector, Elsewhere
from dialback_invoker.deploy.inspect import Inspected, Inspector
from dialback_invoker.deploy.tree import BundleLimits
from dialback_invoker.deployment import Deployment, new_deployment_id
from dialback_invoker.environments.builder import Tell
from dialback_invoker.environments.environment import Environment, folder_size
from dialback_invoker.environments.environments import Environments
from dialback_invoker.errors import Conflict, DialbackError, EntryError, InvalidInput, NotFound
from dialback_invoker.function_config import CONFIG_FILE, FunctionConfig, key_place, load_config
from dialback_invoker.names import check_name, name_key
from dialback_invoker.paths import DataFolder, from_os_error
from dialback_invoker.registry import Registry
from dialback_invoker.secrets.book import Surroundings
from dialback_invoker.store.port import Store

T = TypeVar("T")
_log = logging.getLogger(__name__)

_ENTRY_MISSING = "entry_missing"
"""The bridge's word for an entry that it did not find."""


def _nobody(_line: str) -> None:
    """Nobody wants to know how far it is."""


async def _whole(work: Coroutine[None, None, T]) -> T:
    """What belongs together, and is done to its end though who asked for it is cancelled: a rename, the store's
    commit, the activation.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _earlier(newest_first: Sequence[Deployment], active: Deployment, wanted: str | None) -> Deployment:
    if wanted is None:
        ids = [each.id for each in newest_first]
        older = newest_first[ids.index(active.id) + 1 :]
        if not older:
            raise Conflict(f"{active.function} has no deployment before {active.id}", code="nothing_earlier")
        return older[0]
    found = [each for each in newest_first if each.id.startswith(wanted)] if wanted else []
    if not found:
        raise NotFound(f"there is no deployment {wanted[:64]!r} of {active.function}", code="deployment_not_found")
    exact = [each for each in found if each.id == wanted] or found
    if len(exact) > 1:
        several = ", ".join(each.id for each in exact[:5])
        raise Conflict(f"{wanted!r} begins more than one deployment of {active.function}: {several}", code="ambiguous")
    return exact[0]


@dataclass(frozen=True, slots=True)
class Deployed:
    """What a deploy came to; ``unchanged``: the same content is active already, and ``deployment`` is that one."""

    deployment: Deployment
    unchanged: bool


class Deployer:
    """Deploys, rolls back and removes functions. One deploy of a name at a time; different names at once.

    ``running``: the deployments that have workers, which keep what they run from.
    """

    def __init__(
        self,
        *,
        data: DataFolder,
        store: Store,
        registry: Registry,
        inspector: Inspector,
        environments: Environments | None = None,
        running: Callable[[], Collection[Deployment]] = tuple,
        elsewhere: Elsewhere | None = None,
        limits: BundleLimits | None = None,
        surroundings: Callable[[str], Surroundings] = lambda _: Surroundings(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._data = data
        self._store = store
        self._registry = registry
        self._inspector = inspector
        self.environments = environments or Environments(data.environments)
        if elsewhere is not None:
            self.environments.elsewhere = elsewhere.provided
        self.limits = limits or BundleLimits()
        self._surroundings = surroundings
        self._clock = clock
        self._names: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.collector = Collector(data, store, self.environments, running, elsewhere)
        self._restoring: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Bring the stored functions into the registry and sweep what no deployment uses. Once, at start.

        A function whose environment is gone, or whose Python was uninstalled, is served when that was built again.
        """
        await self.environments.open()
        broken = []
        for deployment in await self._store.active_deployments():
            if not self._data.bundle(deployment.bundle).is_dir():
                _log.error("function %s is left out: its bundle %s is gone", deployment.function, deployment.bundle)
            elif self._environment_is_there(deployment):
                self._registry.activate(deployment)
            else:
                broken.append(deployment)
        in_use = await self._store.bundles_in_use()
        removed = await asyncio.to_thread(sweep, self._data.bundles, in_use)
        if removed:
            _log.info("removed %d bundles that nothing uses", len(removed))
        if broken:
            self._restoring = asyncio.create_task(self._restore(broken), name="restore environments")
        self.collector.soon()

    async def close(self) -> None:
        """End what goes on behind: builds, collections."""
        if self._restoring is not None:
            self._restoring.cancel()
            await asyncio.wait({self._restoring})
        await self.environments.close()
        await self.collector.close()

    def upload_path(self) -> Path:
        """A fresh name, on the disk where bundles lie, for a file that is being uploaded; swept if it stays."""
        return staging_folder(self._data.bundles)

    async def deploy(self, name: str | None, bundle: Path, tell: Tell = _nobody) -> Deployed:
        """Deploy the tar.gz or zip at ``bundle`` under ``name``, or under its dialback.toml's name when that is None.

        ``tell`` gets lines of progress while dependencies are installed. Raises InvalidInput and its kinds (400, 413;
        among them RequirementsError, NoPython and BuildFailed), Conflict (409: the name differs from an existing one
        in case only), InspectTimeout and BuildTimeout (504), DiskFull (507). Cancelling it ends the installation.
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
                return await self._deploy(chosen, staging, content_hash, config, tell)
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, staging, ignore_errors=True))

    async def remove(self, name: str) -> Deployment:
        """Forget the function; invocations that run go on to their end. Raises NotFound."""
        async with self._names.setdefault(name_key(name), asyncio.Lock()):
            active = self._registry.resolve(name)
            if active is None:
                raise NotFound(f"there is no function {name[:64]!r}", code="function_not_found")
            await self._store.remove_function(active.function)
            self._registry.remove(active.function)
            self.collector.soon()
            return active

    async def rollback(self, name: str, wanted: str | None = None, tell: Tell = _nobody) -> Deployed:
        """Let an earlier deployment serve again: the one ``wanted`` names (an id, or the beginning of one), else the
        one before the active one. It was inspected when it was deployed; open streams end on the code that they run.

        Raises NotFound, Conflict (409: there is none, or its code is gone), and what a deploy raises when its
        environment must be built again.
        """
        async with self._names.setdefault(name_key(name), asyncio.Lock()):
            active = self._registry.resolve(name)
            if active is None:
                raise NotFound(f"there is no function {name[:64]!r}", code="function_not_found")
            target = _earlier(await self._store.deployments(active.function), active, wanted)
            if target.id == active.id:
                return Deployed(active, unchanged=True)
            return Deployed(await self._serve_again(target, tell), unchanged=False)

    async def _serve_again(self, target: Deployment, tell: Tell) -> Deployment:
        """Activate a stored deployment, in its own environment or one that is built anew."""
        tree = self._data.bundle(target.bundle)
        if not tree.is_dir():
            raise Conflict(f"the code of {target.id} is gone: deploy it again", code="bundle_gone")
        if self._environment_is_there(target):
            return await _whole(self._activate(target))
        async with self.environments.provided(tree, target.config, tell) as environment:
            return await _whole(self._activate(replace(target, environment=environment.key if environment else "")))

    async def _activate(self, target: Deployment) -> Deployment:
        async with self.collector.lock:
            await self._store.activate(target)
            self._registry.activate(target)
        self.collector.soon()
        return target

    def _environment_is_there(self, deployment: Deployment) -> bool:
        return not deployment.environment or self.environments.of(deployment.environment) is not None

    async def _restore(self, deployments: Collection[Deployment]) -> None:
        for deployment in deployments:
            name = deployment.function
            async with self._names.setdefault(name_key(name), asyncio.Lock()):
                if self._registry.resolve(name) is not None:
                    continue  # deployed meanwhile
                _log.warning("the environment of function %s is gone: it is built again", name)
                try:
                    await self._serve_again(deployment, _nobody)
                except DialbackError as error:
                    _log.error("function %s is left out: %s", name, error)

    async def _deploy(
        self, name: str, staging: Path, content_hash: str, config: FunctionConfig, tell: Tell
    ) -> Deployed:
        active = self._registry.resolve(name)
        if active is not None:
            if active.function != name:
                raise Conflict(f"there is a function {active.function!r}; names are unique ignoring case")
            # The content holds the configuration, so equal content of a known name is an equal deployment.
            there = self._data.bundle(content_hash).is_dir() and self._environment_is_there(active)
            if active.bundle == content_hash and there:
                return Deployed(active, unchanged=True)
        async with self.environments.provided(staging, config, tell) as environment:
            found = await self._inspect_copy(staging, name, config, environment)
            deployment = Deployment(
                id=new_deployment_id(),
                function=name,
                bundle=content_hash,
                kind=found.kind,
                entry=found.entry,
                config=config,
                created_at=self._clock(),
                blocks=found.blocks,
                environment=environment.key if environment is not None else "",
                size=await asyncio.to_thread(folder_size, staging),
            )
            await _whole(self._commit(staging, deployment))
        self.collector.soon()
        return Deployed(deployment, unchanged=False)

    async def _commit(self, staging: Path, deployment: Deployment) -> None:
        async with self.collector.lock:
            fresh = await asyncio.to_thread(settle, staging, self._data.bundles, deployment.bundle)
            try:
                await self._store.add_deployment(deployment)
            except BaseException:
                if fresh:
                    bundle = self._data.bundle(deployment.bundle)
                    await asyncio.shield(asyncio.to_thread(shutil.rmtree, bundle, ignore_errors=True))
                raise
            self._registry.activate(deployment)

    async def _inspect_copy(
        self, staging: Path, name: str, config: FunctionConfig, environment: Environment | None
    ) -> Inspected:
        """Inspect a copy, for importing runs the function's code, and that may write into its folder."""
        copy = staging_folder(self._data.bundles)
        try:
            try:
                await asyncio.to_thread(copy_tree, staging, copy)
            except OSError as error:
                raise from_os_error(error, "cannot copy the bundle for its inspection") from error
            python = self.environments.python_of(environment.key) if environment is not None else None
            return await self._inspector.inspect(copy, config, python, self._surroundings(name))
        except EntryError as error:
            if config.entry is None or error.code != _ENTRY_MISSING or error.file is not None:
                raise
            # What the bridge says is about the setting, and where that stands only its file knows.
            line, source = key_place(staging, "entry")
            raise EntryError(error.message, code=error.code, file=CONFIG_FILE, line=line, source=source) from error
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, copy, ignore_errors=True))
