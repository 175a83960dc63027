"""What can be set at the invoker. Frozen; an unknown key or a value out of range is an error."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from dialback_invoker.launchers.docker_container import DEFAULT_IMAGE


class Frozen(BaseModel):
    """Base of the settings: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TcpAddress(Frozen):
    """Where to listen on TCP; port 0 picks a free one."""

    host: str
    port: int = Field(ge=0, le=65535)


class LinkTls(Frozen):
    """What the invoker shows to edges: PEM files, the certificate with those that signed it, and its private key."""

    certificate: Path
    key: Path


class InvokerSettings(Frozen):
    """The whole invoker."""

    data_dir: Path | None = None
    """None: the usual place (see `paths`)."""
    control: TcpAddress = TcpAddress(host="127.0.0.1", port=8081)
    launcher: Literal["process", "docker"] = "process"
    docker_host: str = ""
    """Address of the container engine; empty: DOCKER_HOST, else the usual socket."""
    worker_image: str = DEFAULT_IMAGE
    """The image that Python functions run in."""
    default: str | None = None
    """The function that answers requests which name none."""
    public_url: str = ""
    """The public address to print and to reach the edge at; empty: what the edge says of itself."""
    edge_url: str = ""
    """Where the invoker itself reaches the edge, for runs that are asked for on the page; empty: at `public_url`."""
    control_public_url: str = ""
    """Where people reach the control port, when that is not where it listens; its host is answered to as well."""
    receiver: TcpAddress | None = None
    """Where workers dial back to on TCP; None: a Unix socket in the run folder."""
    receiver_url: str = ""
    """What workers dial, when that differs from where the receiver listens: `ws://host:port`."""
    link: TcpAddress | Path | None = None
    """Where edges connect; None: a Unix socket in the run folder."""
    link_tls: LinkTls | None = None
    """Encrypt the link; with a `link` that is TCP."""
    link_key_file: Path | None = None
    """None: `link.key` in the data folder, made when it is missing."""
    queue: PositiveInt = 1000
    """Requests of one function that may wait for a worker."""
    queue_seconds: PositiveFloat = 30.0
    keep_deployments: PositiveInt = 10
    """Of each function, the active one among them."""
    build_seconds: PositiveFloat = 600.0
    """For the installation of a function's dependencies."""
    build_bytes: PositiveInt = 4 * 1024**3
    """Of a function's installed dependencies."""
    zygotes: NonNegativeInt = 8
    """Functions at once that keep processes which their workers fork from; 0: every worker is a new process."""
    zygote_idle: PositiveFloat = 900.0
    """Seconds after the last start of a worker when those of its function end."""
    in_flight: PositiveInt = 10_000
    """Requests in all that may be unanswered."""
    window_budget: PositiveInt = 64 * 1024 * 1024
    """Bytes by which all windows together may grow."""
    grace: NonNegativeFloat = 30.0
    """Seconds that running invocations get after the first SIGTERM."""
