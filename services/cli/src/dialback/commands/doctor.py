"""`doctor`: what this machine can do."""

# ruff: noqa: ARG001 - `session` reads the shared options from the context
from __future__ import annotations

from typing import Annotated

import typer

from dialback import options as o


def doctor(
    context: typer.Context,
    host: o.Host = None,
    port: o.Port = None,
    control_port: o.ControlPort = None,
    data_dir: o.DataDir = None,
    config: o.Config = None,
    strict: Annotated[bool, typer.Option("--strict", help="Count warnings as broken.")] = False,
    json: o.Json = False,
) -> None:
    """Say what this machine can do, what is missing, and how to get it.

    Nothing is changed. `ok` is fine, `warn` limits something, `broken` keeps the platform from running as it is set up.
    """
    from dialback.doctor.examination import examine
    from dialback.doctor.findings import Grade
    from dialback.doctor.view import findings_json, findings_lines
    from dialback.session import settings_of
    from dialback.terminal import output_console, print_json, progress

    with progress() as shown:
        task = shown.add_task("looking")
        found = examine(settings_of(context), lambda what: shown.update(task, description=f"looking at {what}"))
    if json:
        print_json(findings_json(found))
    else:
        for line in findings_lines(found):
            output_console().print(line, soft_wrap=True)
    bad = {Grade.BROKEN, Grade.WARN} if strict else {Grade.BROKEN}
    raise typer.Exit(int(any(finding.grade in bad for finding in found)))
