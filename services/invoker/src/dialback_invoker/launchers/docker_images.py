"""The image in which workers run: found, or built from this checkout when it is missing or of another bridge.

Every such image says what it was made of, in a file that its Dockerfile writes, so that one which compose or
`docker build` made is known as well as our own. Ours say it in a label too, which is quicker to look at.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dialback_invoker.launchers.docker_container import DEFAULT_IMAGE
from dialback_invoker.launchers.docker_engine import Engine, EngineFailed, Missing

log = logging.getLogger("dialback.docker")

DOCKERFILE: Final = "deploy/worker/Dockerfile"
SOURCE_LABEL: Final = "dialback.source"
SOURCE_FILE: Final = "/opt/dialback/source"
BASE_LABEL: Final = "org.opencontainers.image.base.name"
_BRIDGE: Final = "services/bridge/src"
_SOURCES: Final = (
    DOCKERFILE,
    "requirements/uv.txt",
    "requirements/worker.txt",
    f"{_BRIDGE}/dialback_bridge",
    f"{_BRIDGE}/dialback_wire",
)


def checkout() -> Path | None:
    """The repository's root, when we run from one."""
    root = Path(__file__).resolve().parents[5]
    return root if (root / DOCKERFILE).is_file() else None


def context(root: Path) -> tuple[bytes, str]:
    """What the image is built from as a tar archive, the Dockerfile on top, and the hash of its content, which is made
    as the Dockerfile makes it. Blocks.
    """
    paths = [path for name in _SOURCES for path in [root / name, *(root / name).rglob("*")]]
    files = {path.relative_to(root).as_posix(): path for path in paths if path.is_file() and path.suffix != ".pyc"}
    archive, digest = io.BytesIO(), hashlib.sha256()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, path in sorted(files.items()):
            data = path.read_bytes()
            digest.update(f"{hashlib.sha256(data).hexdigest()}  {name}\n".encode())
            for shown in {name, "Dockerfile"} if name == DOCKERFILE else {name}:
                entry = tarfile.TarInfo(shown)
                entry.size, entry.mode = len(data), 0o644
                tar.addfile(entry, io.BytesIO(data))
    return archive.getvalue(), digest.hexdigest()[:16]


class WorkerImage:
    """``name`` in one engine; ``root`` is the checkout that it can be built from, None: it must be there. To look into
    an image takes a container for a moment, which gets ``labels``.
    """

    def __init__(
        self,
        engine: Engine,
        name: str = DEFAULT_IMAGE,
        root: Path | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._engine = engine
        self._root = root
        self._labels = labels or {}
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
        # An image of another name is somebody's own: it is not for us to replace it.
        root = self._root if self.name == DEFAULT_IMAGE else None
        try:
            labels = await self._engine.image_labels(self.name)
        except Missing:
            if root is None:
                raise self.missing() from None
            log.info("building the image %s for functions' containers", self.name)
            packed, source = await asyncio.to_thread(context, root)
            base = ""
        else:
            if root is None:
                return
            packed, source = await asyncio.to_thread(context, root)
            if source == await self._source(labels):
                return
            log.info("building the image %s anew: it was made from another version of the bridge", self.name)
            base = labels.get(BASE_LABEL, "")
        arguments = {"PYTHON_IMAGE": base} if base else {}
        await self._engine.build(packed, self.name, arguments, {SOURCE_LABEL: source})

    async def _source(self, labels: Mapping[str, str]) -> str:
        """What an image without our label was made of; empty when it does not say."""
        if SOURCE_LABEL in labels:
            return labels[SOURCE_LABEL]
        return (await self._engine.file_of(self.name, SOURCE_FILE, self._labels)).decode("ascii", "replace").strip()

    def missing(self) -> EngineFailed:
        """What to say when it is not there and cannot be built here."""
        return EngineFailed(
            f"the image {self.name} is missing: build it in a checkout of Dialback with "
            f"`docker build -f {DOCKERFILE} -t {self.name} .`, or name another with --worker-image",
            code="image_missing",
        )


def _failed(task: asyncio.Task[None]) -> bool:
    return task.cancelled() or task.exception() is not None
