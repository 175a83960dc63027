"""Settings of the platform and of its two services, frozen, each from the first place that says something:

    a flag                  --control-port 9000
    the environment         DIALBACK_CONTROL_PORT=9000
    dialback-platform.toml  control_port = 9000        (in the working directory, or --config FILE)
    the default

`resolve` reads them all the same way, so a value is checked the same way wherever it comes from, and
a name that nobody knows is an error: a typo never becomes a default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, TypeVar

from dialback import setting_values as values
from dialback.address import Address, TcpAddress, UnixAddress
from dialback.edge_table import TABLE, edge_settings
from dialback.errors import UsageProblem
from dialback.names import did_you_mean
from dialback.setting_values import Key
from dialback.simulators.conditions import Conditions
from dialback.toml_file import TomlFile
from dialback_edge.settings import EdgeSettings

T = TypeVar("T")

CONFIG_NAME = "dialback-platform.toml"
PREFIX = "DIALBACK_"
COMPOSE_VARIABLES = (
    *("BIND", "DOCKER_GROUP", "DOCKER_SOCKET", "EDGE_CPUS", "EDGE_MEMORY", "FUNCTIONS", "INVOKER_CPUS"),
    *("INVOKER_MEMORY", "OPEN_FILES", "PYTHON_IMAGE", "RESTART", "VERSION"),
)
"""What deploy/docker-compose.yml reads beside settings: whoever exports them uses the command in the same shell."""
OTHER_VARIABLES = (
    *("CONFIG", "CONTROL_URL", "CONTROL_TOKEN", "DEBUG", "CONTROL_FD", "LOG_FD", "ENTRY", "ALLOW"),
    *COMPOSE_VARIABLES,
)
"""Variables that are ours and no setting."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where a port is opened; port 0 picks a free one."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Link:
    """The connection between edge and invoker. `key_file` None: `link.key` in the data folder (TCP only).

    With TLS the invoker shows `tls_cert`, whose private key is `tls_key`; the edge trusts `tls_ca` alone, or, with
    None, whom the system trusts.
    """

    address: Address
    key_file: Path | None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Queue:
    """Requests that wait for a worker: how many a function may have, and for how many seconds each."""

    limit: int
    timeout: float


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that `up`, `serve edge` and `serve invoker` can be told.

    `public_url` overrides the address that is printed and that the invoker sends its own requests to (None: the
    edge's own), `edge_url` the latter alone; `control_public_url` the one that is printed for the control port and
    the page. `receiver` is where workers dial back to, `receiver_url` what they dial when that differs.
    `docker_host` is the address of the container engine (None: DOCKER_HOST, else the usual socket). `in_flight` is
    how many requests may be unanswered in all, `window_budget` the bytes by which all windows together may grow.
    `keep_deployments` is how many of each function are kept; `zygotes` is how many functions have processes that their
    workers fork from, `zygote_idle` the seconds after which these end. `build_timeout`, in seconds, and `build_limit`,
    in bytes, bound the installation of a function's dependencies. `drain_grace` and `drain_delay` are in seconds.
    `access_log` is false, too, when `log_format` is `none`. `metrics` is a further port for /metrics, None for
    none. `conditions` is what the public port of `up` and `dev` simulates.
    """

    public: Listen
    control: Listen
    public_url: str | None
    edge_url: str | None
    control_public_url: str | None
    data_dir: Path
    launcher: Literal["process", "docker"]
    docker_host: str | None
    worker_image: str
    default: str | None
    edge: EdgeSettings
    receiver: Address
    receiver_url: str | None
    link: Link
    queue: Queue
    in_flight: int
    window_budget: int
    keep_deployments: int
    zygotes: int
    zygote_idle: float
    build_timeout: float
    build_limit: int
    drain_grace: float
    drain_delay: float
    access_log: bool
    log_format: str
    metrics: TcpAddress | None
    conditions: Conditions = field(default_factory=Conditions)


def resolve(
    flags: Mapping[str, str | None], environment: Mapping[str, str], directory: Path, config: Path | None = None
) -> Settings:
    """The settings; UsageProblem names the flag, the variable or the line that is wrong.

    `flags` maps names to what was typed (None: not typed). Relative paths are relative to `directory`, those of a
    configuration file to its own folder.
    """
    say = Sources(flags, environment, directory, _config_file(environment, directory, config))
    say.refuse_unknown()
    host, port = say.get(values.HOST), say.get(values.PORT)
    return Settings(
        public=Listen(host, port),
        control=Listen(say.get(values.CONTROL_HOST), say.get(values.CONTROL_PORT)),
        public_url=say.get(values.PUBLIC_URL),
        edge_url=say.get(values.EDGE_URL),
        control_public_url=say.get(values.CONTROL_PUBLIC_URL),
        data_dir=say.get(values.DATA_DIR) or default_data_dir(environment),
        launcher=say.get(values.LAUNCHER),
        docker_host=say.get(values.DOCKER_HOST),
        worker_image=say.get(values.WORKER_IMAGE),
        default=say.get(values.DEFAULT),
        edge=edge_settings(say.file, host, port, say.get(values.SHARE_PORT), say.get(values.TRUSTED_PROXIES)),
        receiver=say.get(values.RECEIVER),
        receiver_url=_receiver_url(say),
        link=_link(say),
        queue=Queue(say.get(values.QUEUE_LIMIT), say.get(values.QUEUE_TIMEOUT)),
        in_flight=say.get(values.IN_FLIGHT),
        window_budget=say.get(values.WINDOW_BUDGET),
        keep_deployments=say.get(values.KEEP_DEPLOYMENTS),
        zygotes=say.get(values.ZYGOTES),
        zygote_idle=say.get(values.ZYGOTE_IDLE),
        build_timeout=say.get(values.BUILD_TIMEOUT),
        build_limit=say.get(values.BUILD_LIMIT),
        drain_grace=say.get(values.DRAIN_GRACE),
        drain_delay=say.get(values.DRAIN_DELAY),
        access_log=say.get(values.ACCESS_LOG) and say.get(values.LOG_FORMAT) != values.LOG_NONE,
        log_format=say.get(values.LOG_FORMAT),
        metrics=say.get(values.METRICS),
        conditions=Conditions(
            slow_client=say.get(values.SLOW_CLIENT),
            latency=say.get(values.LATENCY),
            drop_after=say.get(values.DROP_AFTER),
            buffering_proxy=say.get(values.BUFFERING_PROXY),
        ),
    )


def _link(say: Sources) -> Link:
    link = Link(
        say.get(values.LINK),
        say.get(values.LINK_KEY_FILE),
        say.get(values.LINK_TLS_CERT),
        say.get(values.LINK_TLS_KEY),
        say.get(values.LINK_TLS_CA),
    )
    encrypted = isinstance(link.address, TcpAddress) and link.address.tls
    keys = {values.LINK_TLS_CERT: link.tls_cert, values.LINK_TLS_KEY: link.tls_key, values.LINK_TLS_CA: link.tls_ca}
    said = next((key for key, value in keys.items() if value is not None), None)
    if said is not None and not encrypted:
        raise UsageProblem(f"{said.name} is set, but the link has no TLS", hint="write --link tls://HOST:PORT")
    if (link.tls_cert is None) != (link.tls_key is None):
        raise UsageProblem("a certificate needs its private key: set both link_tls_cert and link_tls_key")
    return link


def _receiver_url(say: Sources) -> str | None:
    url = say.get(values.RECEIVER_URL)
    if url is not None and isinstance(say.get(values.RECEIVER), UnixAddress):
        raise UsageProblem(
            "receiver_url is set, but the receiver listens on a Unix socket",
            hint="say where it listens as well: --receiver tcp://HOST:PORT",
        )
    return url


@dataclass(frozen=True, slots=True)
class Sources:
    """The places where a value can be said, in the order in which they are asked."""

    flags: Mapping[str, str | None]
    environment: Mapping[str, str]
    directory: Path
    file: TomlFile | None

    def get(self, key: Key[T]) -> T:
        """The first value that somebody said, checked."""
        typed = self.flags.get(key.name)
        if typed is not None:
            return self._parse(key, typed, key.flag)
        if said := self.environment.get(key.variable):
            return self._parse(key, said, key.variable)
        if self.file is not None and key.name in self.file.values:
            try:
                return key.parse(self.file.values[key.name], self.file.path.parent)
            except ValueError as wrong:
                raise self.file.problem(key.name, f"{key.name}: {wrong}") from None
        return key.default

    def _parse(self, key: Key[T], said: str, origin: str) -> T:
        try:
            return key.parse(said, self.directory)
        except ValueError as wrong:
            raise UsageProblem(f"{origin}: {wrong}") from None

    def refuse_unknown(self) -> None:
        """Unknown keys of the file, and variables that look like a setting that was mistyped."""
        if self.file is not None:
            for name in self.file.values:
                if name not in values.KNOWN and name != TABLE:
                    hint = did_you_mean(name, (*values.KNOWN, TABLE))
                    raise self.file.problem(name, f"unknown key {name!r}", hint=hint)
        settings = [PREFIX + name.upper() for name in values.KNOWN]
        known = {*settings, *(PREFIX + name for name in OTHER_VARIABLES)}
        for variable in self.environment:
            if variable.startswith(PREFIX) and variable not in known:
                near = get_close_matches(variable, settings, n=1, cutoff=0.85)
                if near:
                    raise UsageProblem(f"unknown environment variable {variable}", hint=f"did you mean {near[0]}?")


def _config_file(environment: Mapping[str, str], directory: Path, config: Path | None) -> TomlFile | None:
    named = config or (Path(environment[PREFIX + "CONFIG"]) if environment.get(PREFIX + "CONFIG") else None)
    if named is not None:
        return TomlFile.read(directory / named.expanduser())
    path = directory / CONFIG_NAME
    return TomlFile.read(path) if path.exists() else None


def default_data_dir(environment: Mapping[str, str]) -> Path:
    """`$XDG_DATA_HOME/dialback`, else `~/.local/share/dialback`."""
    base = environment.get("XDG_DATA_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local/share") / "dialback"
