"""Tables of functions, workers and invocations: quiet, without frames, aligned."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from dialback.control_models import Deployed, Deployment, Environment, Function, Summary, Worker
from dialback.terminal import ACCENT, QUIET, age, safe, size

STATES = {
    "starting": "yellow",
    "ready": "green",
    "busy": "cyan",
    "idle": QUIET,
    "retiring": "yellow",
    "stopping": "yellow",
    "dead": "red",
}
"""The colour of each state that a worker can be in."""


def table(*columns: str, right: Sequence[str] = ()) -> Table:
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style=QUIET)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", no_wrap=True, overflow="ellipsis")
    return made


def deployed_view(deployed: Deployed) -> Text:
    """`chat is live`, what it is, and its addresses, one on a line, so that a terminal can open them."""
    text = Text.assemble((safe(deployed.name), "bold"), " is live" if not deployed.unchanged else " is unchanged")
    facts = [deployed.kind, deployed.entry, safe(deployed.deployment), environment_words(deployed.environment)]
    text.append("  " + " · ".join(safe(fact) for fact in facts if fact), QUIET)
    for url in deployed.urls:
        text.append("\n  ").append(safe(url), ACCENT)
    return text


def environment_words(environment: Environment | None) -> str:
    """`Python 3.12.4, 5 packages`; nothing for the platform's own Python."""
    if environment is None:
        return ""
    if environment.python is None:
        return "gone"
    count = len(environment.packages)
    return f"Python {environment.python}, {'1 package' if count == 1 else f'{count} packages'}"


def deployments_view(deployments: Sequence[Deployment]) -> RenderableType:
    if not deployments:
        return Text("no functions yet: dialback deploy DIR", QUIET)
    made = table(
        *("function", "deployment", "deployed", "code", "environment", "installed", "state"),
        right=("code", "installed"),
    )
    for each in deployments:
        state = Text("active", "green") if each.active else Text("running" if each.running else "", "yellow")
        made.add_row(
            Text(safe(each.name), "bold"),
            safe(each.deployment),
            Text(age(each.created_at), QUIET),
            size(each.size or None),
            safe(environment_words(each.environment)) or "-",
            size(each.environment.size if each.environment is not None else None),
            state,
        )
    return made


def functions_view(functions: Sequence[Function]) -> RenderableType:
    if not functions:
        return Text("no functions yet: dialback deploy DIR", QUIET)
    made = table(
        "name", "kind", "entry", "mode", "workers", "in flight", "deployed", "address", right=("workers", "in flight")
    )
    for function in functions:
        made.add_row(
            Text(safe(function.name), "bold"),
            safe(function.kind),
            safe(function.entry),
            safe(function.mode),
            str(function.workers),
            str(function.in_flight),
            Text(age(function.created_at), QUIET),
            Text(safe(function.urls[0]) if function.urls else "", ACCENT),
        )
    return made


def workers_view(workers: Sequence[Worker]) -> RenderableType:
    if not workers:
        return Text("no workers: the next request starts one", QUIET)
    made = table(
        *("worker", "function", "state", "pid", "in flight", "served", "memory", "up"),
        right=("pid", "in flight", "served", "memory", "up"),
    )
    for worker in workers:
        made.add_row(
            safe(worker.id),
            Text(safe(worker.function), "bold"),
            Text(safe(worker.state), STATES.get(worker.state, "default")),
            "-" if worker.pid is None else str(worker.pid),
            str(worker.in_flight),
            f"{worker.served:,}",
            size(worker.rss_bytes),
            Text(age(worker.started_at), QUIET),
        )
    return made


def invocations_view(invocations: Sequence[Summary]) -> RenderableType:
    if not invocations:
        return Text("nothing in flight", QUIET)
    made = table("invocation", "function", "mode", "request", "worker", "sent", "since", right=("sent", "since"))
    for invocation in invocations:
        made.add_row(
            Text(safe(invocation.id), QUIET),
            Text(safe(invocation.function), "bold"),
            safe(invocation.mode),
            safe(f"{invocation.method} {invocation.path}"),
            safe(invocation.worker or "-"),
            size(invocation.bytes_out),
            Text(age(invocation.received_at), QUIET),
        )
    return made
