"""Images of functions that have dependencies: the workers' image and packages, one for each hash of what is wanted.

They are installed inside a container of the workers' image, by its Python, so what is installed is what that Python can
load. An image is found by its name alone: nothing is stored, and one that is lost is built again.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import shlex
import tarfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dialback_invoker.environments import bridge_kit
from dialback_invoker.environments.program import find_uv
from dialback_invoker.environments.requirements import Requirements, find_requirements
from dialback_invoker.environments.version_range import VersionRange
from dialback_invoker.errors import BuildFailed, InvalidInput, NoPython, RequirementsError
from dialback_invoker.function_config import FunctionConfig, load_config
from dialback_invoker.launchers.docker_container import PLATFORM_LABEL, USER
from dialback_invoker.launchers.docker_engine import Engine, EngineFailed, Missing
from dialback_invoker.launchers.docker_images import WorkerImage

Tell = Callable[[str], None]
REPOSITORY: Final = "dialback/environment"
PYTHON: Final = "/opt/dialback/bin/python"
INDEXES: Final = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")
PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
"""Engines pass these on to builds without being asked to."""
STAGE_LABEL: Final = "dialback.stage"
NO_SPACE: Final = "no space left on device"
_FORMAT: Final = 1  # of what is built; a change builds every image anew
_LISTED: Final = "requirements.dialback.txt"
_NEEDS: Final = "constraint.dialback.txt"
_CHECK: Final = (
    "import sys, websockets; old = int(websockets.__version__.split('.')[0]) < 12; "
    "sys.exit('the bridge needs websockets 12 or later' if old else 0)"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a function asks of its image."""

    requirements: Requirements | None
    """None: the workers' image does."""
    python: str | None
    """``3.13`` or a longer version."""
    requires_python: str | None


class ContainerEnvironments:
    """The images of one platform at one engine. ``python_version`` asks the workers' image for its Python's version."""

    def __init__(
        self, engine: Engine, base: WorkerImage, platform: str, python_version: Callable[[], Awaitable[str]]
    ) -> None:
        self._engine = engine
        self._base = base
        self._platform = platform
        self._python_version = python_version
        self._wanted: dict[Path, Wanted] = {}
        self._there: dict[str, asyncio.Task[None]] = {}
        self._held: Counter[str] = Counter()
        """Images of deployments under way, which no stored function names yet."""
        self._looking = asyncio.Lock()

    @asynccontextmanager
    async def provided(self, tree: Path, config: FunctionConfig, tell: Tell) -> AsyncIterator[None]:
        """The image of the function in ``tree`` is ready, and stays at least as long as this. Raises
        RequirementsError, NoPython, BuildFailed, EngineFailed.
        """
        wanted = await asyncio.to_thread(look, tree, config)
        await self._check_python(wanted)
        name = ""
        if wanted.requirements is not None:
            name = self._name(wanted.requirements, await self._base.identity())
        self._held[name] += 1
        try:
            await self._ensure(wanted, tree, tell)
            yield
        finally:
            self._held[name] -= 1

    async def image_of(self, tree: Path) -> str:
        """The name of a function's image, which is built if it was lost. Raises LaunchFailed."""
        if tree not in self._wanted:
            self._wanted[tree] = await asyncio.to_thread(_look_whole, tree)
        return await self._ensure(self._wanted[tree], tree, lambda _: None)

    def leave(self, tree: Path) -> None:
        """Nobody will ask for that tree again."""
        self._wanted.pop(tree, None)

    def forget(self) -> None:
        """The engine has lost an image: the next start looks again."""
        self._there = {name: task for name, task in self._there.items() if not task.done()}
        self._base.forget()

    async def remove_unused(self, trees: Collection[Path]) -> list[str]:
        """Removes the images that none of the functions in ``trees`` uses; their names. Raises EngineFailed."""
        repository = self._repository
        found = await self._engine.images(f"{PLATFORM_LABEL}={self._platform}")
        ours = [name for name in found if name.rpartition(":")[0] == repository]
        if not ours:
            return []
        base = await self._base.identity()
        kept = set(self._there) - {name for name, task in self._there.items() if task.done()}
        for tree in trees:
            try:
                wanted = await asyncio.to_thread(_look_whole, tree)
            except (InvalidInput, OSError):
                continue
            if wanted.requirements is not None:
                kept.add(self._name(wanted.requirements, base))
        removed = []
        for name in ours:
            async with self._looking:
                if name not in kept and not self._held[name]:
                    self._there.pop(name, None)
                    await self._engine.remove_image(name)
                    await self._remove_stage(name)
                    removed.append(name)
        self._held = +self._held
        return removed

    async def close(self) -> None:
        """Waits for the builds that run."""
        if self._there:
            await asyncio.wait(self._there.values())
            for task in self._there.values():
                if not task.cancelled():
                    task.exception()

    # inside

    @property
    def _repository(self) -> str:
        return f"{REPOSITORY}-{self._platform}"

    def _name(self, requirements: Requirements, base: str) -> str:
        value = json.dumps([_FORMAT, requirements.digest, base, bridge_kit.requires()])
        return f"{self._repository}:{hashlib.sha256(value.encode()).hexdigest()[:32]}"

    async def _ensure(self, wanted: Wanted, tree: Path, tell: Tell) -> str:
        base = await self._base.ensure()
        if wanted.requirements is None:
            return base
        name = self._name(wanted.requirements, await self._base.identity())
        async with self._looking:
            task = self._there.get(name)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            # Read now: the tree may be gone before the engine has it.
            packed = await asyncio.to_thread(context, wanted.requirements, tree, base, _stage(name))
            task = self._there[name] = asyncio.get_running_loop().create_task(
                self._build(name, packed, wanted.requirements.file, tell)
            )
        await asyncio.shield(task)
        return name

    async def _build(self, name: str, packed: bytes, file: str, tell: Tell) -> None:
        try:
            await self._engine.image_labels(name)
            return
        except Missing:
            tell(f"installing {file} into an image for containers")
        try:
            await self._engine.build(packed, name, arguments(os.environ), {PLATFORM_LABEL: self._platform}, tell)
        except EngineFailed as error:
            with suppress(EngineFailed):
                await self._remove_stage(name)
            if error.code != "image_failed" or NO_SPACE in error.message:
                raise
            raise BuildFailed(f"{file} cannot be installed: {error.message.partition(chr(10))[2]}", file=file) from None

    async def _remove_stage(self, name: str) -> None:
        """What an image was installed in stays at the engine without a name, and is larger than the image. As long as
        the image is there it makes building an equal one quick.
        """
        await self._engine.remove_untagged(f"{STAGE_LABEL}={_stage(name)}")

    async def _check_python(self, wanted: Wanted) -> None:
        if wanted.python is None and wanted.requires_python is None:
            return
        version = await self._python_version()
        numbers = tuple(int(each) for each in version.split(".")[:3])
        if wanted.python is not None:
            asked = tuple(int(each) for each in wanted.python.split("."))
            if numbers[: len(asked)] != asked:
                raise NoPython(f'python = "{wanted.python}": containers run Python {version} (--worker-image)')
        if wanted.requires_python is not None:
            try:
                fits = VersionRange.parse(wanted.requires_python).holds(numbers)
            except ValueError as error:
                raise RequirementsError(f"requires-python: {error}") from error
            if not fits:
                raise NoPython(
                    f"requires-python = {wanted.requires_python!r}: containers run Python {version} (--worker-image)"
                )


def arguments(environ: Mapping[str, str]) -> dict[str, str]:
    """What the installation is told of our own environment: where packages come from, and by which proxy."""
    return {name: environ[name] for name in (*INDEXES, *PROXIES) if environ.get(name)}


def look(tree: Path, config: FunctionConfig) -> Wanted:
    """What the function in ``tree`` asks for. Blocks. Raises RequirementsError."""
    found = find_requirements(tree, config.entry)
    return Wanted(
        found if found is not None and not found.empty else None,
        config.python,
        found.requires_python if found is not None else None,
    )


def _stage(name: str) -> str:
    """The mark of what an image was installed in: the hash in its name."""
    return name.rpartition(":")[2]


def _look_whole(tree: Path) -> Wanted:
    return look(tree, load_config(tree))


def context(requirements: Requirements, tree: Path, base: str, mark: str = "") -> bytes:
    """What the engine builds the image from, as a tar archive. Blocks."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        _add(tar, "Dockerfile", dockerfile(requirements, base, mark).encode(), 0o644)
        _add(tar, "uv", Path(find_uv()).read_bytes(), 0o755)
        _add(tar, f"source/{_LISTED}", "".join(f"{line}\n" for line in requirements.lines).encode(), 0o644)
        needs = "".join(f"{each}\n" for each in bridge_kit.requires())
        _add(tar, f"source/{_NEEDS}", needs.encode(), 0o644)
        for name in {requirements.file, *requirements.local}:
            place = tree if name == "." else tree / name
            for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
                if path.is_file():
                    _add(tar, f"source/{path.relative_to(tree).as_posix()}", path.read_bytes(), 0o644)
    return archive.getvalue()


def dockerfile(requirements: Requirements, base: str, mark: str = "") -> str:
    """Installs as a user who owns nothing else, and keeps nothing but the result. What the installation leaves behind
    bears the mark.
    """
    uv = "/build/uv"
    install = [uv, "pip", "install", "--system-certs", "--python", PYTHON, "--compile-bytecode"]
    constrained = [] if "--require-hashes" in requirements.lines else ["--constraint", _NEEDS]
    steps: list[list[str]]
    if requirements.kind == "requirements.txt":
        steps = [[*install, *constrained, "--requirements", _LISTED]]
    elif requirements.kind == "uv.lock":
        export = [uv, "export", "--locked", "--no-dev", "--no-emit-project", "--no-editable", "--python", PYTHON]
        steps = [
            [*export, "--format", "requirements-txt", "--output-file", "locked.txt", "--quiet"],
            [*install, "--requirements", "locked.txt"],
        ]
    else:
        steps = [[*install, *constrained, "--requirements", requirements.file]]
    steps.append([PYTHON, "-P", "-c", _CHECK])
    runs = "".join(f"RUN {shlex.join(step)}\n" for step in steps)
    return (
        f"FROM {base} AS build\n"
        f"LABEL {STAGE_LABEL}={mark}\n"
        f"{''.join(f'ARG {name}{chr(10)}' for name in INDEXES)}"
        "USER root\n"
        "COPY uv /build/uv\n"
        "COPY source /build/source\n"
        f"RUN chown -R {USER} /build /opt/dialback\n"
        f"USER {USER}\n"
        "WORKDIR /build/source\n"
        "ENV HOME=/tmp UV_NO_CACHE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never\n"
        f"{runs}"
        f"FROM {base}\n"
        "COPY --from=build --chown=0:0 /opt/dialback /opt/dialback\n"
    )


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    tar.addfile(entry, io.BytesIO(data))
