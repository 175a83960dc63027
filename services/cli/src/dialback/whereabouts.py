"""Finds the running platform: its control address and its token, and where each of them came from.

address   --control, DIALBACK_CONTROL_URL, else platform.json in the folder, else http://HOST:PORT of the settings
token     --token, DIALBACK_CONTROL_TOKEN, else control.token in the folder
folder    the data folder, where a running platform writes its addresses, because port 0 is possible; when none runs
          there and no other data folder was asked for: deploy/.dialback of this checkout, where compose leaves the
          same two files for the host
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dialback.address import bracketed
from dialback.errors import Unreachable, UsageProblem
from dialback.setting_values import url
from dialback.settings import Settings, default_data_dir

PLATFORM_FILE = "platform.json"
TOKEN_FILE = "control.token"  # noqa: S105 - a file's name
COMPOSE_FOLDER = Path(__file__).parents[4] / "deploy" / ".dialback"
"""What the platform in compose leaves for the host; not there when this package was installed without its checkout."""
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """How to reach a control API; the origins are for messages."""

    control_url: str
    url_origin: str
    token: str
    token_origin: str


@dataclass(frozen=True, slots=True)
class Running:
    """What a running platform says about itself in its data folder. `pid` None: it runs in a container."""

    control_url: str
    public_url: str
    pid: int | None


def locate(control: str | None, token: str | None, settings: Settings, environment: Mapping[str, str]) -> Whereabouts:
    """UsageProblem: an address or token that is none. Unreachable: no token anywhere, so no platform was started."""
    folder = _folder(settings, environment)
    address, url_origin = _control_url(control, folder, settings, environment)
    secret, token_origin = _token(token, folder, environment)
    return Whereabouts(address, url_origin, secret, token_origin)


def _folder(settings: Settings, environment: Mapping[str, str]) -> Path:
    """The data folder, or what compose left when nothing runs here and nobody asked for a data folder."""
    data = settings.data_dir
    usual = data == default_data_dir(environment)
    if usual and read_running(data) is None and (COMPOSE_FOLDER / PLATFORM_FILE).exists():
        return COMPOSE_FOLDER
    return data


def _control_url(
    control: str | None, folder: Path, settings: Settings, environment: Mapping[str, str]
) -> tuple[str, str]:
    for said, origin in ((control, "--control"), (environment.get("DIALBACK_CONTROL_URL"), "DIALBACK_CONTROL_URL")):
        if said:
            try:
                return url(said, settings.data_dir), origin
            except ValueError as wrong:
                raise UsageProblem(f"{origin}: {wrong}") from None
    running = read_running(folder)
    if running is not None:
        return running.control_url, str(folder / PLATFORM_FILE)
    host = WILDCARDS.get(settings.control.host, settings.control.host)
    return f"http://{bracketed(host)}:{settings.control.port or 8081}", "the default"


def _token(token: str | None, folder: Path, environment: Mapping[str, str]) -> tuple[str, str]:
    for said, origin in ((token, "--token"), (environment.get("DIALBACK_CONTROL_TOKEN"), "DIALBACK_CONTROL_TOKEN")):
        if said:
            return _checked(said, origin), origin
    file = folder / TOKEN_FILE
    try:
        return _checked(file.read_text(encoding="utf-8", errors="replace"), str(file)), str(file)
    except FileNotFoundError:
        raise Unreachable(
            f"no platform has been started with the data folder {folder}",
            hint="start one with `dialback up`, or name a running one with --control and --token",
        ) from None
    except OSError as unreadable:
        raise UsageProblem(f"cannot read the control token {file}: {unreadable.strerror}") from None


def _checked(token: str, origin: str) -> str:
    secret = token.strip()
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise UsageProblem(f"{origin} holds no control token")
    return secret


def read_running(data_dir: Path) -> Running | None:
    """What `platform.json` says; None when the process that wrote it is not alive. Of containers nothing is known."""
    try:
        said = json.loads((data_dir / PLATFORM_FILE).read_bytes())
        pid = int(said["pid"]) if "pid" in said else None
        running = Running(url(said["control_url"], data_dir), str(said["public_url"]), pid)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return running if running.pid is None or _alive(running.pid) else None


def write_running(data_dir: Path, running: Running) -> None:
    """Write `platform.json` at once as a whole, for its owner alone; OSError when the folder cannot be written."""
    said = {"control_url": running.control_url, "public_url": running.public_url, "pid": running.pid}
    draft = data_dir / f".{PLATFORM_FILE}.{os.getpid()}"
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(said, file)
    draft.replace(data_dir / PLATFORM_FILE)


def remove_running(data_dir: Path, pid: int) -> None:
    """Remove `platform.json` when it is that process's own."""
    running = read_running(data_dir)
    if running is not None and running.pid == pid:
        (data_dir / PLATFORM_FILE).unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
