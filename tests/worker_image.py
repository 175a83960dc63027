"""The image in which functions' containers run, made once for all processes that test."""

import asyncio
import fcntl
import tempfile
from functools import cache
from pathlib import Path

from dialback_invoker.launchers.docker_engine import Engine
from dialback_invoker.launchers.docker_images import DEFAULT_IMAGE, WorkerImage, checkout


@cache
def worker_image() -> str:
    """Its name, once it is there and of this checkout."""
    with (Path(tempfile.gettempdir()) / "dialback-worker-image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return asyncio.run(_ensured())


async def _ensured() -> str:
    engine = Engine()
    try:
        return await WorkerImage(engine, DEFAULT_IMAGE, checkout()).ensure()
    finally:
        await engine.close()
