"""One line of a function's log on a terminal."""

from __future__ import annotations

import re
import time

from rich.text import Text

from dialback.control_models import LogLine
from dialback.errors import UsageProblem
from dialback.terminal import QUIET, safe

_AGE = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LEVELS = {"DEBUG": QUIET, "WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red"}
ID_TAIL = 6
"""How many characters of an invocation's id stand in a line: its end differs between neighbours."""


def since_when(age: str, now: float | None = None) -> float:
    """The Unix time `10m` ago; UsageProblem when it is no age."""
    found = _AGE.fullmatch(age)
    if not found:
        raise UsageProblem(f"--since: {age!r} is not an age", hint="write 30s, 10m, 2h or 1d")
    return max(0.0, (time.time() if now is None else now) - int(found[1]) * _SECONDS[found[2]])


def log_line(line: LogLine) -> Text:
    """`12:30:01.250  k3f9ab  text`; the worker's id where no invocation is known, colour for levels and stderr."""
    text = Text()
    if line.at is not None:
        text.append(time.strftime("%H:%M:%S", time.localtime(line.at)) + f".{int(line.at % 1 * 1000):03}  ", QUIET)
    owner = line.invocation[-ID_TAIL:] if line.invocation else line.worker or ""
    text.append(f"{safe(owner):<{ID_TAIL}}  ", "blue" if line.invocation else QUIET)
    level = line.level or ""
    if line.stream == "log" and level:
        text.append(f"{safe(level)} ", LEVELS.get(level, "default"))
    style = LEVELS.get(level) or ("yellow" if line.stream == "stderr" else "default")
    return text.append(safe(line.line.rstrip("\r\n")), style)
