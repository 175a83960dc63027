"""What a platform that is ready says: a panel for a person, one JSON line for a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dialback.control_models import Function
from dialback.terminal import ACCENT, QUIET, safe

LAUNCHER_NOTES = {"process": "process: workers run as your own user; this is no sandbox"}
MEMORY_NOTES = {
    "cgroup": "memory limits: enforced by the kernel (cgroup)",
    "watch": "memory limits: watched, a worker beyond its limit is killed within moments",
}


@dataclass(frozen=True, slots=True)
class Ready:
    """Handed by a service to its `ready` callback, once, when its ports are open.

    A service without a public or control port leaves that URL, and a service without control API its token, empty.
    `memory_enforcement` is `cgroup` or `watch`, empty when the service launches nothing.
    """

    public_url: str = ""
    control_url: str = ""
    control_token: str = ""
    launcher: str = ""
    memory_enforcement: str = ""

    @property
    def page_url(self) -> str:
        """The page's address. The token stands behind the #, which a browser sends to nobody."""
        return f"{self.control_url}/#token={self.control_token}" if self.control_url else ""


def addresses(public_url: str, name: str) -> tuple[str, str]:
    """Both forms: `http://127.0.0.1:8080/@NAME/` and `http://NAME.localhost:8080/`."""
    parts = urlsplit(public_url)
    port = f":{parts.port}" if parts.port else ""
    return f"{public_url}/@{name}/", f"{parts.scheme}://{name.lower()}.localhost{port}/"


def ready_event(ready: Ready, functions: Sequence[Function]) -> dict[str, object]:
    """The JSON line's object."""
    listed = [function.model_dump(mode="json") | {"urls": list(_urls(ready, function))} for function in functions]
    return {
        "event": "ready",
        "public_url": ready.public_url,
        "control_url": ready.control_url,
        "page_url": ready.page_url,
        "functions": listed,
    }


def _urls(ready: Ready, function: Function) -> tuple[str, ...]:
    return addresses(ready.public_url, function.name) if ready.public_url else function.urls


def ready_panel(ready: Ready, functions: Sequence[Function], what: str = "Dialback") -> RenderableType:
    """Addresses, functions and what one should know, in a panel as wide as its content."""
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_column(style=QUIET, no_wrap=True)
    grid.add_column(overflow="fold")
    for label, url in (("public", ready.public_url), ("page", ready.page_url), ("control", ready.control_url)):
        if url:
            grid.add_row(label, Text(safe(url), ACCENT))
    parts: list[RenderableType] = [grid]
    if functions or ready.public_url:
        parts.append(Text())
        parts.append(_functions(ready, functions))
    notes = [LAUNCHER_NOTES.get(ready.launcher, ""), MEMORY_NOTES.get(ready.memory_enforcement, "")]
    if any(notes):
        parts.append(Text("\n" + "\n".join(note for note in notes if note), QUIET))
    return Panel(
        Group(*parts),
        title=Text(f"{what} is ready", "bold"),
        title_align="left",
        subtitle=Text("Ctrl-C lets streams finish, twice stops at once", QUIET),
        subtitle_align="left",
        box=box.ROUNDED,
        border_style=QUIET,
        padding=(1, 2),
        expand=False,
    )


def _functions(ready: Ready, functions: Sequence[Function]) -> RenderableType:
    if not functions:
        return Text("no functions yet: dialback deploy DIR", QUIET)
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(style=ACCENT, overflow="fold")
    grid.add_column(style=QUIET, overflow="fold")
    for function in functions:
        urls = _urls(ready, function)
        grid.add_row(safe(function.name), *(safe(url) for url in (*urls, "", "")[:2]))
    return grid
