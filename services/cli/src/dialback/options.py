"""Options that several commands share, spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PLATFORM = "Which platform"
LISTENING = "Addresses"
RUNNING = "Running functions"
OUTPUT = "Output"


def setting(flag: str, text: str, metavar: str, panel: str) -> object:
    """An option whose value `settings.resolve` checks, so that all sources of a value are checked alike."""
    return typer.Option(flag, help=text, metavar=metavar, rich_help_panel=panel, show_default=False)


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
Receiver = Annotated[
    str | None,
    setting("--receiver", "Where workers dial back to: unix (default) or tcp://HOST:PORT.", "ADDRESS", LISTENING),
]
LinkAddress = Annotated[
    str | None,
    setting("--link", "Between edge and invoker: unix (default), unix:/PATH or tcp://HOST:PORT.", "ADDRESS", LISTENING),
]
LinkKeyFile = Annotated[
    str | None,
    setting(
        "--link-key-file", "The key both ends of a TCP link prove (link.key in the data folder).", "FILE", LISTENING
    ),
]
Launcher = Annotated[str | None, setting("--launcher", "How workers run: process.", "NAME", RUNNING)]
Default = Annotated[str | None, setting("--default", "The function that answers at /.", "NAME", RUNNING)]
QueueLimit = Annotated[
    str | None, setting("--queue-limit", "Requests that may wait for a worker (1000).", "COUNT", RUNNING)
]
QueueTimeout = Annotated[
    str | None, setting("--queue-timeout", "Seconds that each of them may wait (30).", "SECONDS", RUNNING)
]
DrainGrace = Annotated[
    str | None, setting("--drain-grace", "Seconds that streams may go on after a stop (30).", "SECONDS", RUNNING)
]
