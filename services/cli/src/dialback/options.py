"""Options that several commands share, spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

PLATFORM = "Which platform"
LISTENING = "Addresses"
RUNNING = "Running functions"
SIMULATING = "Simulate in front of the public port"
OUTPUT = "Output"


def quiet_flags(params: list[Any]) -> list[Any]:
    """Without the type of what takes no value: `--json <bool>` reads as if one were wanted."""
    for param in params:
        if getattr(param, "is_flag", False) and param.metavar is None:
            param.metavar = ""
    return params


class Command(TyperCommand):
    """A subcommand whose help is quiet about flags and ends with examples, exit codes and variables."""

    def get_params(self, ctx: Any) -> list[Any]:
        return quiet_flags(super().get_params(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from dialback.help_texts import below_options

        path = ctx.command_path.partition(" ")[2]
        self.epilog = below_options(path, [param.name for param in self.params])
        super().format_help(ctx, formatter)


class Group(TyperGroup):
    """The same for a command that has subcommands."""

    def get_params(self, ctx: Any) -> list[Any]:
        return quiet_flags(super().get_params(ctx))


def setting(flag: str, text: str, metavar: str, panel: str) -> object:
    """An option whose value `settings.resolve` checks, so that all sources of a value are checked alike."""
    return typer.Option(flag, help=text, metavar=metavar, rich_help_panel=panel, show_default=False)


JsonLines = Annotated[bool, typer.Option("--json", help="One JSON object a line.", rich_help_panel=OUTPUT)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=OUTPUT)]
Control = Annotated[
    str | None,
    setting(
        "--control",
        "The control API's address; else DIALBACK_CONTROL_URL, else the running platform's.",
        "URL",
        PLATFORM,
    ),
]
Token = Annotated[
    str | None,
    setting("--token", "The control token; else DIALBACK_CONTROL_TOKEN, else the data folder's.", "TOKEN", PLATFORM),
]
DataDir = Annotated[
    str | None,
    setting("--data-dir", "Where functions, records and the token are kept.", "DIR", PLATFORM),
]
Config = Annotated[
    Path | None,
    setting("--config", "A configuration file instead of ./dialback-platform.toml.", "FILE", PLATFORM),
]

Host = Annotated[str | None, setting("--host", "Host of the public port (127.0.0.1).", "HOST", LISTENING)]
Port = Annotated[str | None, setting("--port", "The public port (8080); 0 picks a free one.", "PORT", LISTENING)]
ControlHost = Annotated[
    str | None, setting("--control-host", "Host of the control port (127.0.0.1).", "HOST", LISTENING)
]
ControlPort = Annotated[
    str | None, setting("--control-port", "The control port (8081); 0 picks a free one.", "PORT", LISTENING)
]
PublicUrl = Annotated[
    str | None,
    setting("--public-url", "The public port's address as clients see it, when it is another.", "URL", LISTENING),
]
EdgeUrl = Annotated[
    str | None,
    setting("--edge-url", "Where the invoker reaches the edge, for the page's runs.", "URL", LISTENING),
]
ControlPublicUrl = Annotated[
    str | None,
    setting(
        "--control-public-url", "The control port's address as people reach it, when it is another.", "URL", LISTENING
    ),
]
Receiver = Annotated[
    str | None,
    setting("--receiver", "Where workers dial back to: unix (default) or tcp://HOST:PORT.", "ADDRESS", LISTENING),
]
ReceiverUrl = Annotated[
    str | None,
    setting("--receiver-url", "What workers dial, when it is not where the receiver listens.", "URL", LISTENING),
]
TrustedProxies = Annotated[
    str | None,
    setting("--trusted-proxies", "Proxies whose x-forwarded-* is believed: 10.0.0.0/8,::1.", "NETWORKS", LISTENING),
]
LinkAddress = Annotated[
    str | None,
    setting(
        "--link",
        "Between edge and invoker: unix (default), unix:/PATH, tcp://HOST:PORT or tls://HOST:PORT.",
        "ADDRESS",
        LISTENING,
    ),
]
LinkTlsCert = Annotated[
    str | None,
    setting("--link-tls-cert", "The certificate that a tls:// link shows to edges, PEM.", "FILE", LISTENING),
]
LinkTlsKey = Annotated[str | None, setting("--link-tls-key", "Its private key, PEM.", "FILE", LISTENING)]
LinkTlsCa = Annotated[
    str | None,
    setting(
        "--link-tls-ca", "Whose certificates a tls:// link trusts, PEM (whom the system trusts).", "FILE", LISTENING
    ),
]
LinkKeyFile = Annotated[
    str | None,
    setting(
        "--link-key-file", "The key both ends of a TCP link prove (link.key in the data folder).", "FILE", LISTENING
    ),
]
Launcher = Annotated[
    str | None, setting("--launcher", "How workers run: process (default) or docker.", "NAME", RUNNING)
]
DockerHost = Annotated[
    str | None,
    setting(
        "--docker-host", "The container engine: unix:///PATH (DOCKER_HOST, else the usual socket).", "URL", RUNNING
    ),
]
WorkerImage = Annotated[
    str | None,
    setting("--worker-image", "The image of Python workers in containers.", "IMAGE", RUNNING),
]
Default = Annotated[str | None, setting("--default", "The function that answers at /.", "NAME", RUNNING)]
QueueLimit = Annotated[
    str | None, setting("--queue-limit", "Requests that may wait for a worker (1000).", "COUNT", RUNNING)
]
QueueTimeout = Annotated[
    str | None, setting("--queue-timeout", "Seconds that each of them may wait (30).", "SECONDS", RUNNING)
]
InFlight = Annotated[
    str | None, setting("--in-flight", "Requests that may be unanswered in all (10000).", "COUNT", RUNNING)
]
WindowBudget = Annotated[
    str | None, setting("--window-budget", "Bytes by which all streams' windows may grow (64 MiB).", "BYTES", RUNNING)
]
KeepDeployments = Annotated[
    str | None, setting("--keep-deployments", "Deployments of a function that are kept (10).", "COUNT", RUNNING)
]
Zygotes = Annotated[
    str | None,
    setting("--zygotes", "Functions whose workers fork from a process that stays; 0: none (8).", "COUNT", RUNNING),
]
ZygoteIdle = Annotated[
    str | None,
    setting("--zygote-idle", "Seconds after its last fork when such a process ends (900).", "SECONDS", RUNNING),
]
BuildTimeout = Annotated[
    str | None, setting("--build-timeout", "Seconds that installing dependencies may take (600).", "SECONDS", RUNNING)
]
BuildLimit = Annotated[
    str | None, setting("--build-limit", "Bytes of a function's installed dependencies (4 GiB).", "BYTES", RUNNING)
]
DrainGrace = Annotated[
    str | None, setting("--drain-grace", "Seconds that streams may go on after a stop (30).", "SECONDS", RUNNING)
]
DrainDelay = Annotated[
    str | None,
    setting(
        "--drain-delay",
        "Seconds that the public port stays open after a stop, its health at 503 (0).",
        "SECONDS",
        RUNNING,
    ),
]
SharePort = Annotated[
    bool | None,
    typer.Option(
        "--share-port/--no-share-port",
        help="Let other edges of this machine listen on the same public port (off).",
        rich_help_panel=LISTENING,
        show_default=False,
    ),
]
LogFormat = Annotated[
    str | None,
    setting(
        "--log-format", "How they look: auto (pretty for a person, else json), json, pretty, none.", "FORMAT", OUTPUT
    ),
]
Metrics = Annotated[
    str | None,
    setting("--metrics", "A port of its own for /metrics, tcp://HOST:PORT; none by default.", "ADDRESS", LISTENING),
]
AccessLog = Annotated[
    bool | None,
    typer.Option(
        "--access-log/--no-access-log",
        help="A line for each request on standard output (on).",
        rich_help_panel=OUTPUT,
        show_default=False,
    ),
]
SlowClient = Annotated[str | None, setting("--slow-client", "Each client reads this fast: 8kB/s.", "RATE", SIMULATING)]
Latency = Annotated[str | None, setting("--latency", "A round trip takes this much longer: 200ms.", "TIME", SIMULATING)]
DropAfter = Annotated[
    str | None,
    setting(
        "--drop-after", "Cut each connection after this much response, or time: 64kB, 3s.", "SIZE|TIME", SIMULATING
    ),
]
BufferingProxy = Annotated[
    bool | None,
    typer.Option(
        "--buffering-proxy",
        help="Hold responses back in blocks of 4 KiB, as nginx does by default.",
        rich_help_panel=SIMULATING,
        show_default=False,
    ),
]
