"""`up`, `serve edge`, `serve invoker`: processes that stay."""

# ruff: noqa: ARG001 - `session` reads the shared options from the context
from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

import typer

from dialback import options as o
from dialback.options import Command, Config, DataDir, Group

Ready = Annotated[bool, typer.Option("--json", help="Say that it is ready as one JSON line.", rich_help_panel=o.OUTPUT)]

serve = typer.Typer(cls=Group, help="Run one of the services on its own.")


def up(
    context: typer.Context,
    sources: Annotated[
        list[Path] | None, typer.Argument(metavar="[DIR ...]", help="Functions to deploy first.", show_default=False)
    ] = None,
    host: o.Host = None,
    port: o.Port = None,
    control_host: o.ControlHost = None,
    control_port: o.ControlPort = None,
    public_url: o.PublicUrl = None,
    trusted_proxies: o.TrustedProxies = None,
    receiver: o.Receiver = None,
    receiver_url: o.ReceiverUrl = None,
    launcher: o.Launcher = None,
    default: o.Default = None,
    queue_limit: o.QueueLimit = None,
    queue_timeout: o.QueueTimeout = None,
    in_flight: o.InFlight = None,
    window_budget: o.WindowBudget = None,
    keep_deployments: o.KeepDeployments = None,
    build_timeout: o.BuildTimeout = None,
    build_limit: o.BuildLimit = None,
    drain_grace: o.DrainGrace = None,
    drain_delay: o.DrainDelay = None,
    slow_client: o.SlowClient = None,
    latency: o.Latency = None,
    drop_after: o.DropAfter = None,
    buffering_proxy: o.BufferingProxy = None,
    data_dir: DataDir = None,
    config: Config = None,
    access_log: o.AccessLog = None,
    log_format: o.LogFormat = None,
    metrics: o.Metrics = None,
    json: Ready = False,
) -> None:
    """Run edge and invoker in one process, until Ctrl-C.

    A function that cannot be packed or deployed stops it again, exit code 1 or 2.
    """
    from dialback.deploying import pack_shown
    from dialback.serving import Serving, refuse_twins, service
    from dialback.session import settings_of

    settings = settings_of(context)
    with ExitStack() as opened:
        bundles = [opened.enter_context(closing(pack_shown(source))) for source in sources or ()]
        refuse_twins(bundles)
        code = Serving(settings, "Dialback", json, bundles).run(service("platform"))
    raise typer.Exit(code)


@serve.command(cls=Command)
def edge(
    context: typer.Context,
    host: o.Host = None,
    port: o.Port = None,
    public_url: o.PublicUrl = None,
    trusted_proxies: o.TrustedProxies = None,
    link: o.LinkAddress = None,
    link_key_file: o.LinkKeyFile = None,
    drain_grace: o.DrainGrace = None,
    drain_delay: o.DrainDelay = None,
    data_dir: DataDir = None,
    config: Config = None,
    access_log: o.AccessLog = None,
    log_format: o.LogFormat = None,
    metrics: o.Metrics = None,
    json: Ready = False,
) -> None:
    """Run the edge: the public port, linked to an invoker."""
    _serve(context, "edge", "Dialback's edge", json)


@serve.command(cls=Command)
def invoker(
    context: typer.Context,
    control_host: o.ControlHost = None,
    control_port: o.ControlPort = None,
    public_url: o.PublicUrl = None,
    link: o.LinkAddress = None,
    link_key_file: o.LinkKeyFile = None,
    receiver: o.Receiver = None,
    receiver_url: o.ReceiverUrl = None,
    launcher: o.Launcher = None,
    default: o.Default = None,
    queue_limit: o.QueueLimit = None,
    queue_timeout: o.QueueTimeout = None,
    in_flight: o.InFlight = None,
    window_budget: o.WindowBudget = None,
    keep_deployments: o.KeepDeployments = None,
    build_timeout: o.BuildTimeout = None,
    build_limit: o.BuildLimit = None,
    drain_grace: o.DrainGrace = None,
    data_dir: DataDir = None,
    config: Config = None,
    access_log: o.AccessLog = None,
    log_format: o.LogFormat = None,
    metrics: o.Metrics = None,
    json: Ready = False,
) -> None:
    """Run the invoker: functions, workers, the receiver, the control port and the page."""
    _serve(context, "invoker", "Dialback's invoker", json)


def _serve(context: typer.Context, kind: str, title: str, json: bool) -> None:
    from dialback.serving import Serving, service
    from dialback.session import settings_of

    raise typer.Exit(Serving(settings_of(context), title, json).run(service(kind)))
