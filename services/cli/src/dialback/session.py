"""What every client command begins with: the settings that were typed, and a client of the platform they lead to."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from dialback.control_client import ControlClient
from dialback.setting_values import KNOWN
from dialback.settings import Settings, resolve
from dialback.whereabouts import locate


def settings_of(context: typer.Context) -> Settings:
    """The settings that this command line, the environment and the configuration file give."""
    typed = {name: value for name, value in context.params.items() if name in KNOWN}
    flags = {name: str(value).lower() if isinstance(value, bool) else value for name, value in typed.items()}
    config = context.params.get("config")
    return resolve(flags, os.environ, Path.cwd(), config)


def connect(context: typer.Context) -> ControlClient:
    """A client of the platform that the command's `--control`, `--token` and `--data-dir` lead to."""
    settings = settings_of(context)
    return ControlClient(locate(context.params.get("control"), context.params.get("token"), settings, os.environ))
