"""Which saves matter: changes of files that a bundle would hold, each burst of them once.

Editors save in many ways: in place, or into another file that is renamed. A checkout changes a thousand files. So
changes are gathered until there were none for a moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from watchfiles import Change, awatch

from dialback.bundle import CONFIG_NAME
from dialback.errors import UsageProblem
from dialback.ignore import IGNORE_NAME, Ignore

QUIET_MS = 15
"""So long nothing may change before a burst counts as over."""
BURST_MS = 400
"""A burst that goes on is cut here; what follows is the next one."""
LOOK_AGAIN = 0.1
"""Seconds between two looks for a folder that is gone."""


@dataclass(slots=True)
class Watch:
    """The files of one function. `source` is a folder or a file, and need not stay the same inode."""

    source: Path
    _root: Path = field(init=False)
    _ignore: Ignore = field(init=False)

    def __post_init__(self) -> None:
        self._root = (self.source if self.source.is_dir() else self.source.parent).resolve()
        self._ignore = Ignore(())
        self._read_ignore()

    async def saves(self, stop: asyncio.Event) -> AsyncGenerator[tuple[str, ...], None]:
        """The names of what changed, relative to the folder, sorted; a burst at a time, until `stop` is set.

        A folder that is removed and comes back, as in a checkout, is one change of `.`.
        """
        while not stop.is_set():
            watched = self._identity()
            async with aclosing(self._changes(stop)) as changes:
                async for burst in changes:
                    names = {self._name(path) for _, path in burst}
                    if IGNORE_NAME in names:
                        self._read_ignore()
                    yield tuple(sorted(names))
                    if self._identity() != watched:
                        break
            # Another folder of that name is not what the system watches for us.
            while not stop.is_set() and self._identity() is None:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(LOOK_AGAIN)
            if not stop.is_set():
                yield (".",)

    def _changes(self, stop: asyncio.Event) -> AsyncGenerator[set[tuple[Change, str]], None]:
        return awatch(
            *self._places(),
            watch_filter=self._matters,
            debounce=BURST_MS,
            step=QUIET_MS,
            rust_timeout=200,
            stop_event=stop,
            recursive=self.source.is_dir(),
        )

    def _identity(self) -> tuple[int, int] | None:
        """Which folder has the name now."""
        try:
            found = self._root.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _places(self) -> list[Path]:
        if self.source.is_dir():
            return [self._root]
        # The folder and not the file, for a rename puts another file in its place; and where a link leads to.
        return list(dict.fromkeys((self._root, self.source.resolve().parent)))

    def _matters(self, _change: Change, path: str) -> bool:
        if not self.source.is_dir():
            return Path(path) in (self._root / self.source.name, self.source.resolve())
        name = self._name(path)
        if name in (IGNORE_NAME, CONFIG_NAME):
            return True
        parts = name.split("/")
        folders = ("/".join(parts[:count]) for count in range(1, len(parts)))
        if any(self._ignore.leaves_out(folder, True) for folder in folders):
            return False
        return not self._ignore.leaves_out(name, False) and not self._ignore.leaves_out(name, True)

    def _name(self, path: str) -> str:
        try:
            return Path(path).relative_to(self._root).as_posix()
        except ValueError:
            return Path(path).name

    def _read_ignore(self) -> None:
        try:
            self._ignore = Ignore.of(self._root)
        except UsageProblem:
            pass  # packing tells of it; until it is mended the patterns of before hold
