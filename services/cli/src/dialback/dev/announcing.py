"""What a session says of itself: that it is ready, what came of a save, what should be known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.text import Text

from dialback.dev.attaching import launch_json
from dialback.dev.options import DevOptions
from dialback.dev.problem_view import problem_view
from dialback.dev.redeploy import Result
from dialback.dev.screen import Screen
from dialback.dev.state import State
from dialback.ready import Ready, addresses
from dialback.terminal import ACCENT, QUIET, milliseconds, safe

NAMED_FILES = 3
"""Files of a save that are named."""


class Announcer:
    """Says it on the screen, and keeps the state that pages are shown."""

    def __init__(self, screen: Screen, state: State, options: DevOptions, data_dir: Path) -> None:
        self._screen = screen
        self._state = state
        self._options = options
        self._data_dir = data_dir
        self._policies: set[str] = set()

    def ready(self, ready: Ready) -> None:
        """The ports are open."""
        name = self._options.name
        urls = addresses(ready.public_url, name)
        text = Text.assemble((f"{safe(name)} ", "bold"), ("is at ", QUIET), (f"{ready.public_url}/", ACCENT))
        text.append(f"\n  also {urls[0]} and {urls[1]}", QUIET)
        text.append(f"\n  page {ready.page_url}", QUIET)
        if debug_port := self._options.debug_port:
            text.append(f"\n  debugpy at 127.0.0.1:{debug_port}; in VS Code's launch.json: ", QUIET)
            text.append(launch_json(debug_port), QUIET)
        text.append("\n  time-outs are off; saved changes run at once; Ctrl-C stops\n", QUIET)
        event = {
            "event": "ready",
            "name": name,
            "public_url": ready.public_url,
            "control_url": ready.control_url,
            "page_url": ready.page_url,
            "data_dir": str(self._data_dir),
        }
        self._screen.show(text, event)

    def installing(self, line: str) -> None:
        """What the installation of dependencies says."""
        self._screen.show(Text(f"  {safe(line)}", QUIET), {"event": "installing", "line": line})

    def came_of(self, result: Result) -> None:
        """A save has come to something."""
        if result.unchanged:
            return
        self._state.change(result.version, result.problem)
        files = _named(result.save.files, self._options.root)
        event: dict[str, object] = {
            "files": list(result.save.files),
            "deployment": result.version,
            "ms": round(result.seconds * 1000, 1),
        }
        if result.problem is not None:
            goes_on = "the version before it goes on" if result.version else "there is no version before it"
            view = problem_view(replace(result.problem, notes=(goes_on,)), self._options.folder)
            self._screen.show(view, {"event": "broken", **event, "problem": result.problem.as_dict()})
            return
        what = f"{safe(files)} saved, running" if files else "running"
        text = Text.assemble(("✓ ", "green"), what, (f" after {milliseconds(result.seconds * 1000)}", QUIET))
        self._screen.show(text, {"event": "running", **event})

    def blocked(self, policy: str) -> None:
        """A page forbids our script; told once for each policy."""
        if policy not in self._policies:
            self._policies.add(policy)
            said = "a page's Content-Security-Policy forbids scripts of its own origin: it does not reload on a save"
            self._screen.show(Text(said, "yellow"), {"event": "warning", "message": said})


def _named(files: tuple[str, ...], root: Path) -> str:
    """A few of the files of a save; what an editor made and removed again only where there is nothing else."""
    there = [file for file in files if (root / file).exists()] or list(files)
    more = len(there) - NAMED_FILES
    return ", ".join(there[:NAMED_FILES]) + (f" and {more} more" if more > 0 else "")
