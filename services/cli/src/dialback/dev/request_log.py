"""The log of requests: a line each, and beneath it what the function printed meanwhile.

Three tell of a request: the edge (status, times, bytes), the invoker (mode, verdict, chunks) and the worker (its
output), each when it knows. A request that is over quickly has its output beneath its line; one that goes on is
announced with its first output, and its line follows in the end.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from rich.text import Text

from dialback.dev.problem import Problem
from dialback.dev.problem_view import problem_view
from dialback.dev.request_line import clock, request_event, request_line, short
from dialback.dev.screen import Screen
from dialback.dev.state import State
from dialback.dev.tracebacks import begins, parse
from dialback.ending import NO_FUNCTION
from dialback.terminal import QUIET, safe
from dialback_edge.access_log import AccessRecord
from dialback_invoker.launchers.base import LogLine
from dialback_wire.messages import Request

HELD = 0.15
"""Seconds that output waits for the end of its request, so that both stand together."""
JOINED = 0.25
"""Seconds that the edge's word waits for the invoker's."""
TRACE = 0.01
"""Seconds after its last line when a traceback counts as whole."""
REMEMBERED = 500
"""Requests that late output can still be shown under."""
LEVELS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red"}
STARTED = "→"
OUTPUT = "│"


@dataclass(slots=True)
class _Request:
    """One request, as far as it is known."""

    id: str
    method: str
    path: str
    held: list[LogLine | Problem] = field(default_factory=list)
    announced: bool = False
    shown: bool = False
    """Whether its line is out."""
    record: AccessRecord | None = None
    summary: dict[str, object] | None = None
    trace: list[str] = field(default_factory=list)
    trace_timer: asyncio.TimerHandle | None = None


class RequestLog:
    """Puts the three together. All calls come on the loop's thread."""

    def __init__(self, screen: Screen, state: State, root: Path, folder: str) -> None:
        """`root` is where the user's files are, `folder` how they are called on the screen."""
        self._screen = screen
        self._state = state
        self._root = root
        self._folder = folder
        self._loop = asyncio.get_running_loop()
        self._requests: dict[str, _Request] = {}
        self._last = ""
        """The request whose line or output stands last on the screen."""

    def opened(self, request: Request) -> None:
        """The edge passes a request on."""
        path = request.target.partition(b"?")[0].decode("latin-1")
        self._requests[request.id] = _Request(request.id, request.method.decode("latin-1"), path)
        if len(self._requests) > REMEMBERED:
            over = next((each.id for each in self._requests.values() if each.shown), None)
            if over is not None:
                del self._requests[over]

    def served(self, record: AccessRecord) -> None:
        """The edge is done with it."""
        if record.path.startswith("/_dialback/"):
            return
        request = self._requests.setdefault(record.id, _Request(record.id, record.method, record.path))
        request.record = record
        if request.summary is not None:
            self._finish(request)
        else:
            self._loop.call_later(JOINED, self._finish, request)

    def ended(self, summary: dict[str, object]) -> None:
        """The invoker is done with it."""
        request = self._requests.get(str(summary["id"]))
        if request is not None:
            request.summary = summary
            if request.record is not None:
                self._finish(request)

    def line(self, line: LogLine) -> None:
        """The worker said something."""
        request = self._requests.get(line.invocation)
        if request is None:
            self._show_line(line, "")
        elif line.stream == "log" and line.level == "ERROR" and (request.trace or begins(line.line)):
            request.trace.append(line.line)
            if request.trace_timer is not None:
                request.trace_timer.cancel()
            request.trace_timer = self._loop.call_later(TRACE, self._traced, request)
        else:
            self._take(request, line)

    def _traced(self, request: _Request) -> None:
        lines, request.trace, request.trace_timer = request.trace, [], None
        problem = parse(lines, self._root).problem()
        self._state.remember(request.id, problem)
        self._take(request, problem)

    def _take(self, request: _Request, said: LogLine | Problem) -> None:
        if request.shown or request.announced:
            self._show(request, said)
            return
        if not request.held:
            self._loop.call_later(HELD, self._announce, request)
        request.held.append(said)

    def _announce(self, request: _Request) -> None:
        """It goes on: what it has said so far is shown."""
        if request.held and not request.shown:
            request.announced = True
            self._show_held(request)

    def _finish(self, request: _Request) -> None:
        record = request.record
        if request.shown or record is None:
            return
        if request.trace_timer is not None:
            request.trace_timer.cancel()
            self._traced(request)
        request.shown = True
        if record.code == NO_FUNCTION and self._state.problem is not None:
            record.code, record.detail = "SL", "the save is broken"
        self._screen.show(request_line(record, request.summary), request_event(record, request.summary))
        self._last = request.id
        self._show_held(request)

    def _show_held(self, request: _Request) -> None:
        held, request.held = request.held, []
        for said in held:
            self._show(request, said)

    def _show(self, request: _Request, said: LogLine | Problem) -> None:
        if self._last != request.id:
            self._last = request.id
            head = Text.assemble((f"{clock(time.time())}  ", QUIET), (f"{STARTED}   ", QUIET))
            self._screen.show(head.append(f"{safe(request.method)} {short(request.path)}", QUIET))
        if isinstance(said, Problem):
            view = problem_view(said, self._folder)
            view = Text("\n").join(Text("          ").append_text(line) for line in view.split("\n"))
            self._screen.show(view, {"event": "exception", "id": request.id, **said.as_dict()})
        else:
            self._show_line(said, request.id)

    def _show_line(self, line: LogLine, invocation: str) -> None:
        if not invocation:
            self._last = ""
        text = Text.assemble((f"          {OUTPUT} ", QUIET))
        if line.stream == "log" and line.level not in ("", "INFO"):
            text.append(f"{line.level} ", LEVELS.get(line.level, QUIET))
        text.append(safe(line.line), LEVELS.get(line.level, QUIET) if line.stream == "log" else QUIET)
        event = {"event": "log", "id": line.invocation, "stream": line.stream, "level": line.level, "line": line.line}
        self._screen.show(text, event)
