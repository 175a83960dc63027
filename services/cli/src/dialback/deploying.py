"""Packing, uploading and waiting for a deploy, with progress where it takes more than a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dialback.bundle import Bundle, pack
from dialback.control_client import ControlClient
from dialback.control_models import Deployed
from dialback.terminal import PROGRESS_AFTER, QUIET, progress, safe

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

REMIND_EVERY = 10.0
"""Seconds of silence after which a pipe is told that it goes on."""


def pack_shown(source: Path, name: str | None = None) -> Bundle:
    """`bundle.pack` with a progress bar."""
    with progress(count=True) as shown:
        task = shown.add_task(f"packing {source}", total=None)
        return pack(source, name, packed=lambda count: shown.advance(task, count))


def deploy_bundle(client: ControlClient, bundle: Bundle) -> Deployed:
    """Upload, then wait while dependencies are installed and the function is loaded once. Raises what the client
    raises.
    """
    with progress(count=True) as shown:
        task = shown.add_task(f"uploading {bundle.name}", total=bundle.length)
        done = 0

        def sent(count: int) -> None:
            nonlocal done
            done += count
            waiting = done >= bundle.length
            shown.update(task, completed=done, description=f"{'starting' if waiting else 'uploading'} {bundle.name}")

        return client.deploy(bundle, sent, Installation(shown, task, bundle.name))


def roll_back(client: ControlClient, name: str, deployment: str | None) -> Deployed:
    """Let an earlier deployment serve; its environment may have to be built again."""
    with progress() as shown:
        task = shown.add_task(f"rolling back {name}", total=None)
        return client.rollback(name, deployment, Installation(shown, task, name))


class Installation:
    """What an installation says: the last line beside the spinner of a terminal; in a pipe every line, once it has
    taken more than a moment. ``clock``: seconds.
    """

    def __init__(self, shown: Progress, task: TaskID, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._shown = shown
        self._task = task
        self._name = name
        self._clock = clock
        self._since = clock()
        self._spoke = self._since
        self._held: list[str] = []

    def __call__(self, line: str | None) -> None:
        """A line, or None: it goes on."""
        if self._shown.console.is_terminal:
            if line is not None:
                self._shown.columns = self._shown.columns[:2]  # nothing is counted here: spinner and words
                self._shown.update(self._task, description=f"{self._name}: {safe(line.strip())}")
            return
        from rich.text import Text

        now = self._clock()
        if line is not None:
            self._held.append(line)
        elif now - self._spoke >= REMIND_EVERY:
            self._held.append(f"still installing, {now - self._since:.0f} s")
        if now - self._since >= PROGRESS_AFTER:
            for each in self._held:
                self._shown.console.print(Text(f"{self._name}: {safe(each.strip())}", QUIET), soft_wrap=True)
                self._spoke = now
            self._held.clear()
