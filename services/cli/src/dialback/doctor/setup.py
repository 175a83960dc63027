"""Looks at what the settings name: ports, the data folder, the engine that containers need."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from dialback.doctor.findings import Finding, Grade
from dialback.settings import Listen, Settings
from dialback.terminal import size
from dialback.whereabouts import read_running
from dialback_invoker.errors import DialbackError
from dialback_invoker.paths import LONGEST_SOCKET_PATH, data_folder, run_folder

LITTLE_SPACE = 500 * 1024 * 1024
DOCKER_SOCKET = "unix:///var/run/docker.sock"
ENGINE_SECONDS = 5.0
MOST_ANSWER = 1 << 20
INSIDE_RUN = "/workers/w_000000000000/runtime.sock"


def port(what: str, wanted: Listen, settings: Settings) -> Finding:
    """Whether it can be opened."""
    where = f"{wanted.host}:{wanted.port}"
    if wanted.port == 0:
        return Finding(what, Grade.OK, f"{wanted.host}, a free one")
    try:
        family, kind, proto, _, address = socket.getaddrinfo(wanted.host, wanted.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        running = read_running(settings.data_dir)
        if error.errno == errno.EADDRINUSE and running is not None:
            return Finding(what, Grade.OK, f"{where} is in use, and a platform runs ({running.public_url})")
        do = "choose another one, or 0 for a free one" if error.errno == errno.EADDRINUSE else ""
        return Finding(what, Grade.BROKEN, f"{where} cannot be opened: {error.strerror or error}", do)
    return Finding(what, Grade.OK, f"{where} is free")


def data_dir(settings: Settings) -> Finding:
    """Whether it can be written, and how much room there is."""
    folder = data_folder(settings.data_dir).root
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        why = f"{there} cannot be written" if there.is_dir() else f"{there} is not a folder"
        return Finding("data folder", Grade.BROKEN, f"{folder}: {why}", "choose another with --data-dir")
    if there == folder and folder.stat().st_uid != os.getuid():
        return Finding("data folder", Grade.BROKEN, f"{folder} belongs to another user")
    free = shutil.disk_usage(there).free
    state = "" if there == folder else ", made at the first start"
    if free < LITTLE_SPACE:
        return Finding("data folder", Grade.WARN, f"{folder}{state}; only {size(free)} free", "make room")
    return Finding("data folder", Grade.OK, f"{folder}{state}; {size(free)} free")


def run_dir(settings: Settings) -> Finding:
    """Whether sockets fit into it."""
    try:
        folder = run_folder(data_folder(settings.data_dir)).root
    except (DialbackError, OSError) as error:
        return Finding("run folder", Grade.BROKEN, str(error))
    length = len(os.fsencode(folder)) + len(INSIDE_RUN)
    if length > LONGEST_SOCKET_PATH:
        return Finding(
            "run folder", Grade.BROKEN, f"{folder} is too long for Unix sockets", "set XDG_RUNTIME_DIR to a shorter one"
        )
    return Finding("run folder", Grade.OK, str(folder))


def engine(settings: Settings, environ: Mapping[str, str]) -> Finding:
    """Docker's engine: functions in containers need it, others do not."""
    needed = settings.launcher == "docker"
    host = environ.get("DOCKER_HOST") or DOCKER_SOCKET
    place = Path(host.removeprefix("unix://")) if host.startswith("unix://") else None
    try:
        said = _engine_version(host, place)
        return Finding("Docker", Grade.OK, f"engine {said['Version']}, API {said['ApiVersion']}")
    except (OSError, ValueError, KeyError) as error:
        why = "there is no socket" if place is not None and not place.exists() else str(error) or type(error).__name__
    do = "functions run as processes without it; Debian: apt-get install docker.io"
    if place is not None and place.exists() and not os.access(place, os.R_OK | os.W_OK):
        do = "your user may not use the engine: sudo usermod -aG docker $USER, then log in again"
    grade = Grade.BROKEN if needed else Grade.NOTE
    return Finding("Docker", grade, f"no engine answers at {host}: {why[:120]}", do)


def _engine_version(host: str, place: Path | None) -> dict[str, str]:
    """What the engine says of itself, asked in the smallest way there is."""
    if place is not None:
        connection = socket.socket(socket.AF_UNIX)
        address: str | tuple[str, int] = str(place)
    else:
        parts = urlsplit(host)
        connection, address = socket.socket(), (parts.hostname or "", parts.port or 2375)
    with connection:
        connection.settimeout(ENGINE_SECONDS)
        connection.connect(address)
        connection.sendall(b"GET /version HTTP/1.0\r\nHost: docker\r\n\r\n")
        answer = b""
        while len(answer) < MOST_ANSWER and (piece := connection.recv(65536)):
            answer += piece
    said = json.loads(answer.partition(b"\r\n\r\n")[2])
    if not isinstance(said, dict):
        raise ValueError("what answers is no engine")
    return said
