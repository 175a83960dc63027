"""`up`, `serve edge`, `serve invoker`: processes that stay."""

# ruff: noqa: ARG001 - `session` reads the shared options from the context
from __future__ import annotations

from collections.abc import Sequence
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
    later: Annotated[
        list[Path] | None,
        typer.Option(
            "--later",
            metavar="DIR",
            help="Deploy this one when the platform is ready; a failure is said and stops nothing. May be repeated.",
            show_default=False,
        ),
    ] = None,
    host: o.Host = None,
    port: o.Port = None,
    control_host: o.ControlHost = None,
    control_port: o.ControlPort = None,
    public_url: o.PublicUrl = None,
    control_public_url: o.ControlPublicUrl = None,
    trusted_proxies: o.TrustedProxies = None,
    receiver: o.Receiver = None,
    receiver_url: o.ReceiverUrl = None,
    launcher: o.Launcher = None,
    docker_host: o.DockerHost = None,
    worker_image: o.WorkerImage = None,
    default: o.Default = None,
    queue_limit: o.QueueLimit = None,
    queue_timeout: o.QueueTimeout = None,
    in_flight: o.InFlight = None,
    window_budget: o.WindowBudget = None,
    keep_deployments: o.KeepDeployments = None,
    zygotes: o.Zygotes = None,
    zygote_idle: o.ZygoteIdle = None,
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

    A function that cannot be packed or deployed stops it again, exit code 1 or 2; one behind --later does not.
    """
    from dialback.deploying import pack_shown
    from dialback.serving import Serving, refuse_twins, service
    from dialback.session import settings_of

    settings = settings_of(context)
    with ExitStack() as opened:
        bundles, following = (
            [opened.enter_context(closing(pack_shown(source))) for source in named or ()] for named in (sources, later)
        )
        refuse_twins([*bundles, *following])
        code = Serving(settings, "Dialback", json, bundles, following).run(service("platform"))
    raise typer.Exit(code)


@serve.command(cls=Command)
def edge(
    context: typer.Context,
    host: o.Host = None,
    port: o.Port = None,
    public_url: o.PublicUrl = None,
    share_port: o.SharePort = None,
    trusted_proxies: o.TrustedProxies = None,
    link: o.LinkAddress = None,
    link_key_file: o.LinkKeyFile = None,
    link_tls_ca: o.LinkTlsCa = None,
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
    sources: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[DIR ...]", help="Functions to deploy unless they are there.", show_default=False),
    ] = None,
    control_host: o.ControlHost = None,
    control_port: o.ControlPort = None,
    public_url: o.PublicUrl = None,
    edge_url: o.EdgeUrl = None,
    control_public_url: o.ControlPublicUrl = None,
    link: o.LinkAddress = None,
    link_key_file: o.LinkKeyFile = None,
    link_tls_cert: o.LinkTlsCert = None,
    link_tls_key: o.LinkTlsKey = None,
    receiver: o.Receiver = None,
    receiver_url: o.ReceiverUrl = None,
    launcher: o.Launcher = None,
    docker_host: o.DockerHost = None,
    worker_image: o.WorkerImage = None,
    default: o.Default = None,
    queue_limit: o.QueueLimit = None,
    queue_timeout: o.QueueTimeout = None,
    in_flight: o.InFlight = None,
    window_budget: o.WindowBudget = None,
    keep_deployments: o.KeepDeployments = None,
    zygotes: o.Zygotes = None,
    zygote_idle: o.ZygoteIdle = None,
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
    """Run the invoker: functions, workers, the receiver, the control port and the page.

    Of the functions that are named, those are deployed whose name is not there yet: what was deployed since stays.
    Those with a requirements.txt follow when the invoker is ready, since installing takes its time.
    """
    _serve(context, "invoker", "Dialback's invoker", json, sources)


def _serve(context: typer.Context, kind: str, title: str, json: bool, sources: Sequence[Path] | None = None) -> None:
    from dialback.deploying import pack_shown
    from dialback.serving import Serving, refuse_twins, service
    from dialback.session import settings_of

    settings = settings_of(context)
    with ExitStack() as opened:
        packed = [(source, opened.enter_context(closing(pack_shown(source)))) for source in sources or ()]
        refuse_twins([bundle for _, bundle in packed])
        first = [bundle for source, bundle in packed if not _installs(source)]
        later = [bundle for source, bundle in packed if _installs(source)]
        code = Serving(settings, title, json, first, later, only_new=True).run(service(kind))
    raise typer.Exit(code)


def _installs(source: Path) -> bool:
    """Whether deploying it begins with an installation."""
    return (source / "requirements.txt").is_file()
