"""Where our files are on the engine's machine: the same place, unless we run in a container ourselves.

The engine mounts folders of *its* machine into workers. When the invoker is a container too (compose), its data and run
folders are volumes, and a volume has another path out there. Rather than be told, we look: the engine knows the mounts
of our own container.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dialback_invoker.launchers.docker_engine import Engine, EngineFailed, Missing, Surroundings

MOUNTS = Path("/proc/self/mountinfo")
_OWN_ID = re.compile(r"/containers/([0-9a-f]{64})/(?:hostname|hosts|resolv\.conf)\b")


@dataclass(frozen=True, slots=True)
class HostPaths:
    """Translates paths. ``mounts`` holds (place here, place there); None: both are the same machine."""

    mounts: Sequence[tuple[str, str]] | None = None

    def outside(self, path: Path) -> str:
        """The path on the engine's machine. Raises EngineFailed when the engine cannot see it."""
        if self.mounts is None:
            return str(path)
        here = PurePosixPath(path)
        for inside, outside in sorted(self.mounts, key=lambda mount: len(mount[0]), reverse=True):
            if here.is_relative_to(inside):
                return str(PurePosixPath(outside) / here.relative_to(inside))
        raise EngineFailed(
            f"{path} lies inside Dialback's own container, where the engine cannot mount it from: "
            "put the data folder and the run folder (XDG_RUNTIME_DIR) on volumes",
            code="not_on_a_volume",
        )


def own_container(mountinfo: str) -> str | None:
    """The id of the container that we are, by the files that an engine mounts into every container of its own."""
    found = _OWN_ID.search(mountinfo)
    return found[1] if found else None


async def find_surroundings(engine: Engine, mountinfo: Path = MOUNTS) -> Surroundings | None:
    """What the engine knows of the container that we are; None when we are none of its. Raises EngineUnavailable."""
    try:
        own = own_container(await asyncio.to_thread(mountinfo.read_text))
    except OSError:
        own = None
    if own is None:
        return None
    try:
        return await engine.surroundings(own)
    except Missing:
        # A container of another engine: what it mounts, this one does not know.
        return None
