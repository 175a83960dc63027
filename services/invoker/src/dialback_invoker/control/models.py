"""Every request and answer of the control API. The OpenAPI document is made from these, docstrings and all."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LONGEST_PATH: Final = 8192
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # RFC 9110 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110 5.5, without CR, LF, NUL
_NOT_YOURS: Final = frozenset(
    ["connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"]
)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Query(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ErrorBody(_Answer):
    """What went wrong, and where in the function's files if it is there."""

    code: str
    message: str
    file: str | None = None
    line: int | None = None
    source: str | None = None


class ErrorAnswer(_Answer):
    """Every answer of 400 and above."""

    error: ErrorBody


def _sendable(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if _TOKEN.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            raise ValueError(f"{name[:64]!r} is not a header that can be sent")
        lower = name.lower()
        if lower in _NOT_YOURS or lower.startswith(("x-dialback-", "proxy-")):
            raise ValueError(f"{name[:64]!r} is set by the platform")
    return headers


_Headers = Annotated[dict[str, str], Field(max_length=64), AfterValidator(_sendable)]


class Health(_Answer):
    """Whether requests are served; 200 when ready, else 503."""

    status: Literal["starting", "ready", "draining"]


class Platform(_Answer):
    """The platform itself."""

    version: str
    public_url: str
    control_url: str
    launcher: str
    data_dir: str
    memory_enforcement: str
    started_at: Annotated[float, Field(description="Unix seconds")]


class Function(_Answer):
    """A function and its active deployment."""

    name: str
    deployment: str
    kind: str
    entry: str
    mode: str
    launcher: str
    created_at: Annotated[float, Field(description="Unix seconds, of the deployment")]
    urls: list[str]
    workers: int
    in_flight: int


class Functions(_Answer):
    """All functions, by name."""

    functions: list[Function]


class Removed(_Answer):
    """A function that is no more."""

    name: str
    removed: bool = True


class Environment(_Answer):
    """What a deployment's dependencies were installed into."""

    key: Annotated[str, Field(description="a hash over what is in it; equal deployments share one")]
    python: Annotated[str | None, Field(description="for example 3.12.4; null when the environment is gone")]
    source: Annotated[str | None, Field(description="the file that says what is in it; empty: a chosen Python alone")]
    packages: Annotated[dict[str, str], Field(description="names and versions")]
    size: Annotated[int | None, Field(description="bytes")]


class Deployed(_Answer):
    """What a deploy came to."""

    name: str
    deployment: str
    kind: str
    entry: str
    urls: list[str]
    unchanged: Annotated[bool, Field(description="the same content was active already; nothing was done")]
    environment: Annotated[Environment | None, Field(description="null: the platform's own Python")] = None


class DeployEvent(_Answer):
    """One line of a deploy that is watched.

    progress: the installer said `text`. waiting: nothing new for a second. deployed: it is live. failed: it is not,
    and what ran before still does; `status` is what would have been the answer's.
    """

    event: Literal["progress", "waiting", "deployed", "failed"]
    text: str | None = None
    deployed: Deployed | None = None
    status: int | None = None
    error: ErrorBody | None = None


class RollbackRequest(_Request):
    """Which deployment is to serve again."""

    deployment: Annotated[
        str | None,
        Field(
            min_length=1, max_length=64, description="its id, or the beginning of it; null: the one before the active"
        ),
    ] = None


class Deployment(_Answer):
    """One version of a function."""

    deployment: str
    name: str
    kind: str
    entry: str
    mode: str
    bundle: Annotated[str, Field(description="SHA-256 of the content")]
    created_at: Annotated[float, Field(description="Unix seconds")]
    active: bool
    running: Annotated[bool, Field(description="it has workers")]
    size: Annotated[int, Field(description="bytes of its code; 0 when an earlier version of Dialback stored it")]
    environment: Annotated[Environment | None, Field(description="null: the platform's own Python")]


class Deployments(_Answer):
    """Versions of one function or of all, those of a function together, newest first."""

    deployments: list[Deployment]


class Worker(_Answer):
    """One worker."""

    id: str
    function: str
    deployment: str
    state: str
    pid: int | None
    in_flight: int
    served: int
    started_at: Annotated[float, Field(description="Unix seconds")]
    rss_bytes: int | None


class Workers(_Answer):
    """All workers."""

    workers: list[Worker]


class Summary(_Answer):
    """One invocation, without its details."""

    model_config = ConfigDict(frozen=True, extra="allow")

    id: str
    function: str
    received_at: Annotated[float, Field(description="Unix seconds")]
    deployment: str | None = None
    mode: str | None = None
    method: str | None = None
    path: str | None = None
    worker: str | None = None
    cold: bool | None = None
    status: int | None = None
    verdict: str | None = None
    cause: str | None = None
    code: str | None = None
    detail: str | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None
    chunks: int | None = None


class Trace(Summary):
    """One invocation with all that is known of it; times inside are milliseconds after it was received."""

    marks: list[dict[str, Any]] = []
    gaps: dict[str, Any] = {}
    blocked: dict[str, float] = {}
    request: Annotated[
        dict[str, Any] | None, Field(description="as it came, without credentials; what a replay sends")
    ] = None
    answer: Annotated[
        dict[str, int] | None, Field(description="CRC-32 of the answer's first bytes, and how many those are")
    ] = None
    payload: dict[str, Any] | None = None
    frames: list[dict[str, Any]] = []
    frames_dropped: int = 0


class Invocations(_Answer):
    """Invocations, newest first."""

    invocations: list[Summary]


class InvocationQuery(_Query):
    """Which invocations."""

    function: str | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    live: Annotated[bool, Field(description="those in flight instead of those that ended")] = False


class LogQuery(_Query):
    """Which lines."""

    follow: Annotated[bool, Field(description="go on with each line as it comes")] = False
    since: Annotated[float, Field(ge=0, allow_inf_nan=False, description="Unix seconds")] = 0.0
    limit: Annotated[int, Field(ge=0, le=10_000)] = 1000
    invocation: Annotated[str, Field(max_length=64, description="only what this one printed")] = ""


class LogEntry(_Answer):
    """One line that a function wrote; the answer has one of these a line."""

    at: Annotated[float, Field(description="Unix seconds")]
    function: str
    worker: str
    invocation: Annotated[str, Field(description="empty when the line belongs to none")]
    stream: str
    level: str
    line: str


class NewVariable(_Request):
    """A value to be set. That of a secret is sealed before it is stored, and never answered again."""

    value: Annotated[str, Field(max_length=32_768, repr=False)]
    secret: bool = False


class VariablesChange(_Request):
    """What is to be set and removed, in one step."""

    put: Annotated[dict[str, NewVariable], Field(max_length=256)] = {}
    remove: Annotated[list[str], Field(max_length=256)] = []


class Variable(_Answer):
    """One variable. plain and secret were set; file stands in the active deployment's dialback.toml."""

    name: str
    kind: Literal["plain", "secret", "file"]
    value: Annotated[str | None, Field(description="null for a secret")]
    set_at: Annotated[float | None, Field(description="Unix seconds; null for file")] = None
    overridden: Annotated[bool, Field(description="a variable that was set has its place")] = False


class FunctionVariables(_Answer):
    """A function's variables, by name."""

    name: str
    deployed: bool
    variables: list[Variable]
    bytes: Annotated[int, Field(description="names and values that were set, as Lambda counts them")]
    fits_lambda: bool


class Rotated(_Answer):
    """How many secrets were closed with a new key."""

    secrets: int


class TicketRequest(_Request):
    """A single request in a mode of the asker's choice."""

    function: str
    mode: Literal["buffered", "callback", "tunnel"]
    deployment: Annotated[str | None, Field(max_length=64, description="else the active one")] = None


class Ticket(_Answer):
    """Send it to the public address as ``x-dialback-run``: once, within 60 seconds."""

    ticket: str


class RunRequest(_Request):
    """A request that the platform makes to itself, and reports on."""

    function: str
    mode: Literal["buffered", "callback", "tunnel"]
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    path: Annotated[str, Field(max_length=LONGEST_PATH, pattern=r"^/[\x21\x22\x24-\x7e]*$")] = "/"
    headers: _Headers = {}
    body: str = ""
    deployment: Annotated[str | None, Field(max_length=64, description="else the active one")] = None


class RunEvent(_Answer):
    """One event of a run; `event` is its Server-Sent Events name, the other fields are its data.

    frame: a frame passed a hop. head: the response's head came. chunk: a piece of its body came (text: its first
    16 KiB, as UTF-8). end: the response ended, ok when it was complete. trace: the recorded invocation. t_ms counts
    from when the request was sent.
    """

    event: Literal["frame", "head", "chunk", "end", "trace"]
    t_ms: float | None = None
    hop: Literal["link", "socket", "runtime"] | None = None
    direction: Literal["up", "down"] | None = None
    type: str | None = None
    size: int | None = None
    status: int | None = None
    headers: list[tuple[str, str]] | None = None
    text: str | None = None
    ok: bool | None = None
    error: str | None = None
    id: str | None = None


class ReplayRequest(_Request):
    """How a recorded request is made again; what is not said is as it was."""

    deployment: Annotated[str | None, Field(max_length=64, description="else the active one")] = None
    mode: Literal["buffered", "callback", "tunnel"] | None = None
    headers: Annotated[_Headers, Field(description="added, or in place of its own; credentials were not kept")] = {}


class ReplayEvent(RunEvent):
    """One event of a replay: those of a run, plan before them and comparison after them.

    plan: what will be done; left_out names the fields that were not kept and are not sent. comparison: for status,
    verdict, first_byte_ms, total_ms, bytes_out and chunks what it was before and after, and whether the bodies were the
    same, different, or unknown.
    """

    event: Literal["plan", "frame", "head", "chunk", "end", "trace", "comparison"]  # type: ignore[assignment]
    original: Summary | None = None
    deployment: str | None = None
    active: bool | None = None
    mode: str | None = None
    left_out: list[str] | None = None
    measures: dict[str, dict[str, Any]] | None = None
    body: Literal["same", "different", "unknown"] | None = None


class LiveLine(LogEntry):
    """A line of a log; `seq` orders the lines of all functions."""

    seq: int


class LiveEvent(_Answer):
    """One event of the platform; `event` is its Server-Sent Events name, the other fields are its data.

    platform, functions, workers, live: what is there now, first at once and then whenever it changes; live has the
    newest of those in flight and counts them all. recent: once, the invocations that ended and the lines that were
    printed last. ended, log: what came since; missed counts what a slow reader was not told.
    """

    event: Literal["platform", "functions", "workers", "live", "recent", "ended", "log"]
    status: Literal["starting", "ready", "draining"] | None = None
    functions: list[Function] | None = None
    workers: list[Worker] | None = None
    invocations: list[Summary] | None = None
    count: int | None = None
    lines: list[LiveLine] | None = None
    missed: int | None = None
