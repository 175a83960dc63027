"""The control API's answers. Fields that a later platform adds are kept (for --json) and otherwise ignored; those
that an invocation does not have yet are None.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, JsonValue


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class Function(Answer):
    name: str
    deployment: str = ""
    kind: str = ""
    entry: str = ""
    mode: str = ""
    launcher: str = ""
    created_at: float | None = None
    urls: tuple[str, ...] = ()
    workers: int = 0
    in_flight: int = 0


class Functions(Answer):
    functions: tuple[Function, ...]


class Environment(Answer):
    """What dependencies were installed into; of one that is gone only its `key` is known."""

    key: str = ""
    python: str | None = None
    source: str | None = None
    packages: dict[str, str] = {}
    size: int | None = None


class Deployed(Answer):
    name: str
    deployment: str
    kind: str = ""
    entry: str = ""
    urls: tuple[str, ...] = ()
    unchanged: bool = False
    environment: Environment | None = None


class Deployment(Answer):
    """One version of a function; `size` is its code's, in bytes."""

    deployment: str
    name: str = ""
    kind: str = ""
    entry: str = ""
    created_at: float | None = None
    active: bool = False
    running: bool = False
    size: int = 0
    environment: Environment | None = None


class Deployments(Answer):
    deployments: tuple[Deployment, ...]


class Worker(Answer):
    id: str
    function: str = ""
    deployment: str = ""
    state: str = ""
    pid: int | None = None
    in_flight: int = 0
    served: int = 0
    started_at: float | None = None
    rss_bytes: int | None = None


class Workers(Answer):
    workers: tuple[Worker, ...]


class Summary(Answer):
    """One invocation in a list; sizes in bytes, `received_at` in Unix seconds."""

    id: str
    function: str = ""
    mode: str = ""
    method: str = ""
    path: str = ""
    received_at: float | None = None
    worker: str | None = None
    status: int | None = None
    verdict: str | None = None
    bytes_out: int | None = None


class Invocations(Answer):
    invocations: tuple[Summary, ...]


class Mark(Answer):
    """A moment of an invocation, milliseconds after `received`."""

    name: str
    t: float | None = None


class Bin(Answer):
    """`count` gaps no longer than `le_ms` (None: the last bin has no limit) and longer than the bin before."""

    le_ms: float | None = None
    count: int = 0


class Gaps(Answer):
    first: tuple[float, ...] = ()
    last: tuple[float, ...] = ()
    histogram: tuple[Bin, ...] = ()


class Blocked(Answer):
    client_ms: float = 0.0
    worker_ms: float = 0.0


class FrameSeen(Answer):
    t: float = 0.0
    hop: str = ""
    direction: str = ""
    stream: int | None = None
    type: str = ""
    size: int = 0


class Trace(Summary):
    deployment: str = ""
    cold: bool = False
    cause: str | None = None
    code: str | None = None
    detail: str | None = None
    bytes_in: int | None = None
    chunks: int | None = None
    marks: tuple[Mark, ...] = ()
    gaps: Gaps | None = None
    blocked: Blocked | None = None
    payload: JsonValue = None
    frames: tuple[FrameSeen, ...] = ()
    frames_dropped: int = 0

    def at(self, name: str) -> float | None:
        """When the mark was made, None when it was not."""
        return next((mark.t for mark in self.marks if mark.name == name), None)


class ReplayPlan(Answer):
    """What a replay is going to do; `left_out` names the fields that were not recorded and are not sent."""

    original: Trace = Trace(id="")
    deployment: str = ""
    active: bool = True
    mode: str = ""
    left_out: tuple[str, ...] = ()


class ReplayEnd(Answer):
    """How the client's side of a replay ended."""

    ok: bool = False
    error: str | None = None
    id: str | None = None


class Measure(Answer):
    """One measure of a replay, then and now."""

    before: JsonValue = None
    after: JsonValue = None
    difference: float | None = None


class ReplayComparison(Answer):
    """What was different the second time; `body` is `same`, `different` or `unknown`."""

    measures: dict[str, Measure] = {}
    body: str = "unknown"


class LogLine(Answer):
    at: float | None = None
    function: str = ""
    worker: str | None = None
    invocation: str | None = None
    stream: str = ""
    level: str | None = None
    line: str = ""


class Variable(Answer):
    name: str
    kind: str = ""
    value: str | None = None
    set_at: float | None = None
    overridden: bool = False


class FunctionVariables(Answer):
    name: str
    deployed: bool = True
    variables: tuple[Variable, ...] = ()
    bytes: int = 0
    fits_lambda: bool = True


class Rotated(Answer):
    secrets: int


class Ticket(Answer):
    ticket: str


class Platform(Answer):
    version: str = ""
    public_url: str = ""
    control_url: str = ""
    launcher: str = ""
    data_dir: str = ""
    memory_enforcement: str = ""
    started_at: float | None = None


class Fault(Answer):
    """The body of every error: what, and for a mistake in a bundle also where."""

    code: str = ""
    message: str
    file: str | None = None
    line: int | None = None
    source: str | None = None


class FaultAnswer(Answer):
    error: Fault


class DeployEvent(Answer):
    """One line of a deploy that is watched: progress, waiting, deployed or failed."""

    event: str
    text: str | None = None
    deployed: Deployed | None = None
    status: int | None = None
    error: Fault | None = None
