"""What can be set at the invoker. Frozen; an unknown key or a value out of range is an error."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt


class Frozen(BaseModel):
    """Base of the settings: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TcpAddress(Frozen):
    """Where to listen on TCP; port 0 picks a free one."""

    host: str
    port: int = Field(ge=0, le=65535)


class InvokerSettings(Frozen):
    """The whole invoker."""

    data_dir: Path | None = None
    """None: the usual place (see `paths`)."""
    control: TcpAddress = TcpAddress(host="127.0.0.1", port=8081)
    launcher: str = "process"
    default: str | None = None
    """The function that answers requests which name none."""
    public_url: str = ""
    """The public address to print and to reach the edge at; empty: what the edge says of itself."""
    receiver: TcpAddress | None = None
    """Where workers dial back to on TCP; None: a Unix socket in the run folder."""
    receiver_url: str = ""
    """What workers dial, when that differs from where the receiver listens: `ws://host:port`."""
    link: TcpAddress | Path | None = None
    """Where edges connect; None: a Unix socket in the run folder."""
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
    in_flight: PositiveInt = 10_000
    """Requests in all that may be unanswered."""
    window_budget: PositiveInt = 64 * 1024 * 1024
    """Bytes by which all windows together may grow."""
    grace: NonNegativeFloat = 30.0
    """Seconds that running invocations get after the first SIGTERM."""
