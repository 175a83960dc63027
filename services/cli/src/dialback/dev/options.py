"""What a session is asked for, and the platform's settings that come of it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from dialback.settings import Queue, Settings

LOCAL = ("127.0.0.1", "localhost", "::1")
"""Names of this machine's own."""


@dataclass(frozen=True, slots=True)
class DevOptions:
    """What was asked for. `name` is the function's; `reload`: whether pages load themselves anew."""

    source: Path
    name: str
    reload: bool = True
    events: bool = False
    debug_port: int | None = None

    @property
    def root(self) -> Path:
        """The folder that the user's files are in."""
        return (self.source if self.source.is_dir() else self.source.parent).resolve()

    @property
    def folder(self) -> str:
        """How that folder is written on the screen: relative where it is near."""
        shown = os.path.relpath(self.root)
        return "" if shown == "." else shown if not shown.startswith("..") else str(self.root)


def dev_settings(settings: Settings, options: DevOptions, own_folder: bool) -> Settings:
    """The platform's settings as dev wants them: the function at /, no time-outs, nothing that a stop waits for, and,
    unless `own_folder` says that one was named, a data folder for this function alone.
    """
    data_dir = settings.data_dir
    if not own_folder:
        digest = hashlib.sha256(os.fsencode(options.source.resolve())).hexdigest()[:8]
        data_dir = data_dir / "dev" / f"{options.name}-{digest}"
    queue = Queue(settings.queue.limit, 0.0)
    edge = settings.edge
    if edge.authorities is None and settings.public.host in LOCAL:
        # What is shown here is the user's source: not for a page elsewhere whose name was made to lead here.
        own = [urlsplit(settings.public_url).hostname or ""] if settings.public_url else []
        edge = edge.model_copy(update={"authorities": (*LOCAL, "[::1]", ".localhost", *own)})
    return replace(
        settings, edge=edge, data_dir=data_dir, default=options.name, queue=queue, drain_grace=0.0, drain_delay=0.0
    )
