"""The same request once in each mode, through the public port like any client's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from dialback.control_client import ControlClient
from dialback.errors import CliError, Refused, Truncated, UsageProblem
from dialback.exchange import Outgoing
from dialback.request_parts import outgoing
from dialback.terminal import milliseconds
from dialback.timeline import Run, measure

MODES = ("buffered", "callback", "tunnel")
"""Those that this version serves."""
TICKET = b"x-dialback-run"


def check_mode(mode: str) -> None:
    """UsageProblem unless this version serves `mode`."""
    if mode not in MODES:
        raise UsageProblem(f"--mode: {mode!r} is not one of {', '.join(MODES)}")


def in_mode(client: ControlClient, name: str, mode: str, request: Outgoing) -> Outgoing:
    """`request` with a run ticket, so that it runs in `mode`. It can be sent once. Raises CliError."""
    ticket = client.ticket(name, mode)
    return replace(request, headers=(*request.headers, (TICKET, ticket.encode("ascii"))))


@dataclass(slots=True)
class Comparison:
    """Collects a Run for each mode. A run that fails stays in the table with its error."""

    client: ControlClient
    address: str
    name: str
    path: str
    method: str | None
    data: str | None
    headers: tuple[str, ...]
    runs: list[Run] = field(default_factory=list)

    def add(self, mode: str, note: Callable[[str], None]) -> None:
        """Make one request in `mode`; `note` is told how far it is. Unreachable and refusals of the ticket leave."""
        if self.data == "@-":
            raise UsageProblem("-d: compare sends the body more than once, so it cannot come from standard input")
        request = outgoing(self.name, self.path, self.method, self.data, self.headers)
        request = in_mode(self.client, self.name, mode, request)
        run = Run(mode)
        self.runs.append(run)
        try:
            for _ in measure(mode, self.address, request, run):
                note(f"{self.name}: {mode} · {len(run.arrivals)} chunks · {milliseconds(run.total_ms)}")
        except Truncated as short:
            run.error = short.message
        if run.status is not None and run.status >= 400:
            run.error = run.error or f"answered {run.status}"
        run.cold_ms = self._cold(run.invocation)

    def _cold(self, invocation: str) -> float | None:
        """Milliseconds that went into the start of a worker, when the run made one start and its trace says so."""
        if not invocation:
            return None
        try:
            trace = self.client.trace(invocation)
        except Refused:
            return None
        began, ready = trace.at("worker_start"), trace.at("worker_ready")
        return ready - began if trace.cold and began is not None and ready is not None else None

    def raise_failures(self) -> None:
        """CliError when a run failed, after the table was shown."""
        failed = [run for run in self.runs if run.error]
        if failed:
            *others, last = (run.mode for run in failed)
            which = f"{', '.join(others)} and {last}" if others else last
            raise CliError(f"{which} did not answer well", hint=f"`dialback trace {failed[0].invocation}` shows why")
