"""What each kind of setting may hold. A parser takes what was said (text, or a TOML value) and the folder that
relative paths are relative to; it raises ValueError with a message that completes `--port: ...`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar
from urllib.parse import urlsplit

from dialback.address import Address, TcpAddress, UnixAddress, parse_address
from dialback.errors import UsageProblem
from dialback.names import check_name, did_you_mean
from dialback.simulators import units
from dialback.simulators.conditions import drop

T = TypeVar("T")
Parser = Callable[[object, Path], T]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LAUNCHERS = ("process", "docker")
LATER_LAUNCHERS = ("lambda",)
_IMAGE = re.compile(
    r"[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[A-Za-z0-9_][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?",
    re.ASCII,
)
LOG_AUTO, LOG_JSON, LOG_PRETTY, LOG_NONE = "auto", "json", "pretty", "none"
LOG_FORMATS = (LOG_AUTO, LOG_JSON, LOG_PRETTY, LOG_NONE)
"""Of the access log: `auto` is `pretty` where a person reads, else `json`."""
LONGEST_WAIT = 7 * 86400.0
_HOST = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.(?!-)[A-Za-z0-9-]{1,63})*\.?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Key(Generic[T]):
    """One setting: its name in a file (`control_port`), how it is read, and what it is when nobody says."""

    name: str
    parse: Parser[T]
    default: T

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "DIALBACK_" + self.name.upper()


def text(value: object, _folder: Path) -> str:
    if not isinstance(value, str):
        raise ValueError(f"it must be text, not {_kind(value)}")
    if not value or "\0" in value:
        raise ValueError("it must not be empty")
    return value


def integer(least: int, most: int) -> Parser[int]:
    def parse(value: object, _folder: Path) -> int:
        number = value
        if isinstance(value, str):
            if not re.fullmatch(r"[+-]?\d{1,18}", value, re.ASCII):
                raise ValueError(f"{value!r} is not a whole number")
            number = int(value)
        if not isinstance(number, int) or isinstance(number, bool):
            raise ValueError(f"it must be a whole number, not {_kind(value)}")
        if not least <= number <= most:
            raise ValueError(f"{number} is out of range ({least} to {most})")
        return number

    return parse


def seconds(value: object, _folder: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"it must be a number of seconds, not {_kind(value)}")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{value!r} is not a number of seconds") from None
    if not 0 <= number <= LONGEST_WAIT:
        raise ValueError(f"{value} is out of range (0 to {LONGEST_WAIT:.0f} seconds)")
    return number


def positive_seconds(value: object, folder: Path) -> float:
    number = seconds(value, folder)
    if number <= 0:
        raise ValueError("it must be more than 0 seconds")
    return number


def boolean(value: object, _folder: Path) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError(f"{value!r} is neither true nor false")


def networks(value: object, folder: Path) -> tuple[Network, ...]:
    """`10.0.0.0/8, ::1`, or a list of such texts."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list):
        raise ValueError(f"it must be a list of networks, not {_kind(value)}")
    found: list[Network] = []
    for each in value:
        try:
            found.append(ipaddress.ip_network(text(each, folder)))
        except ValueError as wrong:
            raise ValueError(f"{each!r} is no network, such as 10.0.0.0/8: {wrong}") from None
    return tuple(found)


def host(value: object, folder: Path) -> str:
    name = text(value, folder)
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        if name == bare and _HOST.fullmatch(name) and not re.fullmatch(r"[\d.]+", name):
            return name
    raise ValueError(f"{name!r} is neither an address nor a host name")


def path(value: object, folder: Path) -> Path:
    return folder.absolute() / Path(text(value, folder)).expanduser()


def address(value: object, folder: Path) -> Address:
    return parse_address(text(value, folder))


def link_address(value: object, folder: Path) -> Address:
    """What `address` takes, and `tls://host:port`."""
    return parse_address(text(value, folder), tls=True)


def tcp_address(value: object, folder: Path) -> TcpAddress:
    """`tcp://host:port`."""
    parsed = address(value, folder)
    if not isinstance(parsed, TcpAddress):
        raise ValueError(f"{str(parsed)!r} is a Unix socket: write tcp://host:port")
    return parsed


def log_format(value: object, folder: Path) -> str:
    name = text(value, folder)
    if name not in LOG_FORMATS:
        raise ValueError(f"{name!r} is not a format ({did_you_mean(name, LOG_FORMATS)})")
    return name


def receiver(value: object, folder: Path) -> Address:
    """Workers are told where to dial before anything could tell them of a path: `unix` is the run folder's."""
    parsed = address(value, folder)
    if isinstance(parsed, UnixAddress) and parsed.path is not None:
        raise ValueError("write unix (a socket in the run folder) or tcp://host:port")
    return parsed


def url(value: object, folder: Path) -> str:
    """`http://host[:port]`, without a trailing slash."""
    return _origin(text(value, folder), ("http", "https"))[0]


def receiver_url(value: object, folder: Path) -> str:
    """`ws://host:port`: what a worker dials is compared part by part, so nothing is left to be guessed."""
    origin, port = _origin(text(value, folder), ("ws", "wss"))
    if port is None:
        raise ValueError(f"{origin!r} names no port: write ws://host:port")
    return origin.lower()


def _origin(whole: str, schemes: tuple[str, str]) -> tuple[str, int | None]:
    plain = f"{schemes[0]}://host:port"
    try:
        parts = urlsplit(whole)
        port = parts.port
    except ValueError as wrong:
        raise ValueError(f"{whole!r} is not an address: {wrong}") from None
    if parts.scheme not in schemes or not parts.hostname or port == 0:
        raise ValueError(f"{whole!r} is not an address: write {plain}")
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc or not whole.isprintable():
        raise ValueError(f"{whole!r}: only {plain} is allowed, without path or user")
    return f"{parts.scheme}://{parts.netloc}", port


def launcher(value: object, folder: Path) -> Literal["process", "docker"]:
    name = text(value, folder)
    if name in LATER_LAUNCHERS:
        raise ValueError(f"{name!r} is not served by this version yet (served: {', '.join(LAUNCHERS)})")
    if name not in LAUNCHERS:
        raise ValueError(f"{name!r} is not a launcher ({did_you_mean(name, LAUNCHERS)})")
    return "docker" if name == "docker" else "process"


def docker_host(value: object, folder: Path) -> str:
    """A container engine's address. Only one on this machine can mount our folders into its containers."""
    where = text(value, folder)
    if not re.fullmatch(r"unix:///[\x21-\x7e]+", where):
        raise ValueError(f"{where!r} is not an engine on this machine: write unix:///path/of/docker.sock")
    return where


def image(value: object, folder: Path) -> str:
    """`[REGISTRY/]NAME[:TAG][@DIGEST]`."""
    name = text(value, folder)
    if not _IMAGE.fullmatch(name):
        raise ValueError(f"{name!r} is not an image's name, such as dialback/worker-python:0.1.0")
    return name


def function_name(value: object, folder: Path) -> str:
    try:
        return check_name(text(value, folder))
    except UsageProblem as wrong:
        raise ValueError(wrong.message) from None


def optional(parse: Parser[T]) -> Parser[T | None]:
    """The same parser, for a setting whose default is None."""
    return parse


def _kind(value: object) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list", dict: "a table"}
    return names.get(type(value), "a date or time")


HOST = Key("host", host, "127.0.0.1")
PORT = Key("port", integer(0, 65535), 8080)
CONTROL_HOST = Key("control_host", host, "127.0.0.1")
CONTROL_PORT = Key("control_port", integer(0, 65535), 8081)
PUBLIC_URL = Key("public_url", optional(url), None)
EDGE_URL = Key("edge_url", optional(url), None)
CONTROL_PUBLIC_URL = Key("control_public_url", optional(url), None)
DATA_DIR = Key("data_dir", optional(path), None)
LAUNCHER: Key[Literal["process", "docker"]] = Key("launcher", launcher, "process")
DOCKER_HOST = Key("docker_host", optional(docker_host), None)
WORKER_IMAGE = Key("worker_image", image, "dialback/worker-python:0.1.0")
DEFAULT = Key("default", optional(function_name), None)
RECEIVER: Key[Address] = Key("receiver", receiver, UnixAddress(None))
RECEIVER_URL = Key("receiver_url", optional(receiver_url), None)
LINK: Key[Address] = Key("link", link_address, UnixAddress(None))
LINK_TLS_CERT = Key("link_tls_cert", optional(path), None)
LINK_TLS_KEY = Key("link_tls_key", optional(path), None)
LINK_TLS_CA = Key("link_tls_ca", optional(path), None)
LINK_KEY_FILE = Key("link_key_file", optional(path), None)
TRUSTED_PROXIES: Key[tuple[Network, ...]] = Key("trusted_proxies", networks, ())
QUEUE_LIMIT = Key("queue_limit", integer(1, 1_000_000), 1000)
QUEUE_TIMEOUT = Key("queue_timeout", seconds, 30.0)
IN_FLIGHT = Key("in_flight", integer(1, 1_000_000), 10_000)
KEEP_DEPLOYMENTS = Key("keep_deployments", integer(1, 10_000), 10)
ZYGOTES = Key("zygotes", integer(0, 1000), 8)
ZYGOTE_IDLE = Key("zygote_idle", positive_seconds, 900.0)
BUILD_TIMEOUT = Key("build_timeout", positive_seconds, 600.0)
BUILD_LIMIT = Key("build_limit", integer(1024 * 1024, 1 << 50), 4 * 1024**3)
WINDOW_BUDGET = Key("window_budget", integer(1024 * 1024, 1 << 40), 64 * 1024 * 1024)
DRAIN_GRACE = Key("drain_grace", seconds, 30.0)
DRAIN_DELAY = Key("drain_delay", seconds, 0.0)
ACCESS_LOG = Key("access_log", boolean, True)
SHARE_PORT = Key("share_port", boolean, False)
LOG_FORMAT = Key("log_format", log_format, LOG_AUTO)
METRICS: Key[TcpAddress | None] = Key("metrics", optional(tcp_address), None)
SLOW_CLIENT = Key("slow_client", optional(units.rate), None)
LATENCY = Key("latency", optional(units.duration), None)
DROP_AFTER = Key("drop_after", optional(drop), None)
BUFFERING_PROXY = Key("buffering_proxy", boolean, False)

KNOWN = tuple(
    key.name
    for key in (
        *(
            HOST,
            PORT,
            CONTROL_HOST,
            CONTROL_PORT,
            PUBLIC_URL,
            DATA_DIR,
            LAUNCHER,
            DOCKER_HOST,
            WORKER_IMAGE,
            DEFAULT,
            RECEIVER,
            RECEIVER_URL,
        ),
        *(
            LINK,
            LINK_TLS_CERT,
            LINK_TLS_KEY,
            LINK_TLS_CA,
            LINK_KEY_FILE,
            TRUSTED_PROXIES,
            QUEUE_LIMIT,
            QUEUE_TIMEOUT,
            IN_FLIGHT,
            WINDOW_BUDGET,
        ),
        *(DRAIN_GRACE, DRAIN_DELAY, ACCESS_LOG, LOG_FORMAT, METRICS),
        *(SLOW_CLIENT, LATENCY, DROP_AFTER, BUFFERING_PROXY),
        *(KEEP_DEPLOYMENTS, BUILD_TIMEOUT, BUILD_LIMIT),
        *(ZYGOTES, ZYGOTE_IDLE),
        *(CONTROL_PUBLIC_URL, EDGE_URL, SHARE_PORT),
    )
)
