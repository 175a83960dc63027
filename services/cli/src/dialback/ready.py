"""What a platform that is ready says: a panel for a person, one JSON line for a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from rich import box
from rich.console import RenderableType
from rich.panel import Panel
from rich.text import Text

from dialback.control_models import Function
from dialback.terminal import ACCENT, QUIET, safe

FRAME = 6
"""Columns that the panel takes for itself."""
LAUNCHER_NOTES = {
    "process": "process: workers run as your own user; this is no sandbox",
    "docker": "docker: each worker runs in a container of its own",
}
MEMORY_NOTES = {
    "cgroup": "memory limits: enforced by the kernel (cgroup)",
    "watch": "memory limits: watched, a worker beyond its limit is killed within moments",
}


@dataclass(frozen=True, slots=True)
class Ready:
    """Handed by a service to its `ready` callback, once, when its ports are open.

    A service without a public or control port leaves that URL, and a service without control API its token, empty.
    `control_public_url` is where people reach the control port, when that is not where it listens.
    `memory_enforcement` is `cgroup` or `watch`, empty when the service launches nothing. `link` is `ready` or
    `connecting`, empty where there is none; `link_trouble` says why it is not there yet. `metrics_url` is the port of
    its own for /metrics, if there is one. `simulating` is what the public port does to its connections on purpose.
    """

    public_url: str = ""
    control_url: str = ""
    control_token: str = ""
    launcher: str = ""
    memory_enforcement: str = ""
    link: str = ""
    link_trouble: str = ""
    metrics_url: str = ""
    control_public_url: str = ""
    simulating: tuple[str, ...] = ()

    @property
    def page_url(self) -> str:
        """The page's address. The token stands behind the #, which a browser sends to nobody."""
        return f"{self.shown_control_url}/#token={self.control_token}" if self.control_url else ""

    @property
    def shown_control_url(self) -> str:
        """The control port's address for people."""
        return self.control_public_url or self.control_url


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
        **({"link": ready.link} if ready.link else {}),
        **({"metrics_url": ready.metrics_url} if ready.metrics_url else {}),
        **({"simulating": list(ready.simulating)} if ready.simulating else {}),
    }


def _urls(ready: Ready, function: Function) -> tuple[str, ...]:
    return addresses(ready.public_url, function.name) if ready.public_url else function.urls


def ready_view(ready: Ready, functions: Sequence[Function], what: str, width: int) -> RenderableType:
    """Addresses, functions and what one should know: in a panel when it fits into `width` columns, else without one,
    since an address that is broken by a frame can be neither clicked nor copied. Print it with `soft_wrap`.
    """
    said = (LAUNCHER_NOTES.get(ready.launcher), MEMORY_NOTES.get(ready.memory_enforcement))
    notes = [Text(note, QUIET) for note in said if note]
    loud = [Text(f"SIMULATING {line}", "bold yellow") for line in ready.simulating]
    functions_said = _function_lines(ready, functions, width - FRAME)
    parts = [part for part in (_own_lines(ready), loud, functions_said, notes) if part]
    lines = [line for part in parts for line in (Text(), *part)][1:]
    title, last = Text(f"{what} is ready", "bold"), Text("Ctrl-C lets streams finish, twice stops at once", QUIET)
    if max(line.cell_len for line in lines) > width - FRAME:
        return Text("\n").join([title, Text(), *lines, Text(), last])
    # The frame must hold what stands in its lower edge, too.
    lines[0].pad_right(max(0, last.cell_len - lines[0].cell_len) if last.cell_len <= width - FRAME else 0)
    return Panel(
        Text("\n").join(lines),
        title=title,
        title_align="left",
        subtitle=last,
        subtitle_align="left",
        box=box.ROUNDED,
        border_style=QUIET,
        padding=(1, 2),
        expand=False,
    )


def _own_lines(ready: Ready) -> list[Text]:
    urls = (
        ("public", ready.public_url),
        ("page", ready.page_url),
        ("control", ready.shown_control_url),
        ("metrics", ready.metrics_url),
    )
    lines = [Text.assemble((label.ljust(10), QUIET), (safe(url), ACCENT)) for label, url in urls if url]
    if ready.link:
        why = f": {safe(ready.link_trouble)}" if ready.link_trouble else ""
        state = "connected to the invoker" if ready.link == "ready" else f"connecting to the invoker{why}"
        lines.append(Text.assemble(("link".ljust(10), QUIET), (state, "green" if ready.link == "ready" else "yellow")))
    return lines


def _function_lines(ready: Ready, functions: Sequence[Function], width: int) -> list[Text]:
    """Name and both addresses side by side, or one below the other where that is too wide."""
    if not ready.control_url:
        return []
    if not functions:
        return [Text("no functions yet: dialback deploy DIR", QUIET)]
    rows = [(safe(function.name), [safe(url) for url in _urls(ready, function)[:2]]) for function in functions]
    label = max(len(name) for name, _ in rows) + 3
    first = max((len(urls[0]) for _, urls in rows if urls), default=0) + 3
    wide = label + first + max((len(urls[-1]) for _, urls in rows if urls), default=0) <= width
    lines: list[Text] = []
    for name, urls in rows:
        line = Text(name.ljust(label), "bold")
        for index, url in enumerate(urls):
            line.append("" if index == 0 or wide else "\n" + " " * label)
            line.append(url.ljust(first) if wide and index == 0 else url, f"not bold {QUIET if index else ACCENT}")
        lines += line.split("\n")
    return lines
