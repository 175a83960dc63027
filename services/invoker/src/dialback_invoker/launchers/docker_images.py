"""The image in which workers run: found, or built from this checkout when it is missing or older than the bridge."""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
import tarfile
from pathlib import Path
from typing import Final

from dialback_invoker.launchers.docker_container import DEFAULT_IMAGE
from dialback_invoker.launchers.docker_engine import Engine, EngineFailed, Missing

log = logging.getLogger("dialback.docker")

DOCKERFILE: Final = "deploy/worker/Dockerfile"
SOURCE_LABEL: Final = "dialback.source"
_SOURCES: Final = (DOCKERFILE, "requirements/uv.txt", "requirements/worker.txt", "services/bridge/src")


def checkout() -> Path | None:
    """The repository's root, when we run from one."""
    root = Path(__file__).resolve().parents[5]
    return root if (root / DOCKERFILE).is_file() else None


def context(root: Path) -> tuple[bytes, str]:
    """What the image is built from as a tar archive, the Dockerfile on top, and the hash of its content. Blocks."""
    paths = [path for name in _SOURCES for path in [root / name, *sorted((root / name).rglob("*"))]]
    files = [path for path in paths if path.is_file() and path.suffix != ".pyc"]
    archive, digest = io.BytesIO(), hashlib.sha256()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in files:
            name, data = path.relative_to(root).as_posix(), path.read_bytes()
            digest.update(f"{name}\0{len(data)}\0".encode() + data)
            for shown in {name, "Dockerfile"} if name == DOCKERFILE else {name}:
                entry = tarfile.TarInfo(shown)
                entry.size, entry.mode = len(data), 0o644
                tar.addfile(entry, io.BytesIO(data))
    return archive.getvalue(), digest.hexdigest()[:16]


class WorkerImage:
    """``name`` in one engine; ``root`` is the checkout that it can be built from, None: it must be there."""

    def __init__(self, engine: Engine, name: str = DEFAULT_IMAGE, root: Path | None = None) -> None:
        self.name = name
        self._engine = engine
        self._root = root
        self._identity = ""
        self._ready: asyncio.Task[None] | None = None

    async def ensure(self) -> str:
        """The image's name, once it is there. Raises EngineFailed; who is cancelled does not stop a build."""
        if self._ready is None or (self._ready.done() and _failed(self._ready)):
            self._ready = asyncio.get_running_loop().create_task(self._ensure())
        await asyncio.shield(self._ready)
        return self.name

    async def identity(self) -> str:
        """Names its content: another one when it was built anew. Raises EngineFailed."""
        await self.ensure()
        if not self._identity:
            self._identity = await self._engine.image_id(self.name)
        return self._identity

    def forget(self) -> None:
        """The engine has lost it: the next `ensure` looks again."""
        if self._ready is not None and self._ready.done():
            self._ready = None
            self._identity = ""

    async def close(self) -> None:
        """Waits for a build that runs."""
        if self._ready is not None:
            await asyncio.wait([self._ready])
            _failed(self._ready)

    async def _ensure(self) -> None:
        packed, source = await asyncio.to_thread(context, self._root) if self._root is not None else (b"", "")
        try:
            built_from = (await self._engine.image_labels(self.name)).get(SOURCE_LABEL, "")
        except Missing:
            if self._root is None:
                raise self.missing() from None
            log.info("building the image %s for functions' containers", self.name)
        else:
            if not source or built_from in ("", source):
                return
            log.info("building the image %s anew: the bridge has changed", self.name)
        await self._engine.build(packed, self.name, {"SOURCE": source}, {})

    def missing(self) -> EngineFailed:
        """What to say when it is not there and cannot be built here."""
        return EngineFailed(
            f"the image {self.name} is missing: build it in a checkout of Dialback with "
            f"`docker build -f {DOCKERFILE} -t {self.name} .`, or name another with --worker-image",
            code="image_missing",
        )


def _failed(task: asyncio.Task[None]) -> bool:
    return task.cancelled() or task.exception() is not None
