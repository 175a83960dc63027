"""``dialback.toml``: what a function says about itself, as a frozen model that refuses whatever it does not know.

    name = "chat"                 default: the name that it is deployed under
    runtime = "python"
    launcher = "docker"           process, docker; default: the platform's
    python = "3.12"               default: the platform's own, or one that requires-python takes
    entry = "app:app"             default: found by file name and by what the file exports
    mode = "callback"             buffered, callback, tunnel
    callback_socket = "keep"      keep, each
    event_loop = "auto"           auto (uvloop where the function has it), asyncio, uvloop
    preload = "auto"              auto, on, off: whether workers fork from a process that has imported the function
    concurrency = 100             default: 10 for handlers that run in threads
    max_workers = 4
    memory_mb = 256
    idle_seconds = 300            an idle worker lives this long; 0: it stops at once
    idle = "stop"                 stop, pause: what happens then; only containers can be paused
    warm = 0                      workers that are started before anybody asks, and stay
    on_disconnect = "cancel"      cancel, linger, finish
    linger_seconds = 30           how long "linger" lets a function go on after its client left
    errors = "detailed"           detailed: a 500 has the exception's type and text; plain: its code alone
    network = "none"              none, outside: what a container reaches besides the platform
    sandbox = "runsc"             gVisor, where the engine has it; default: the engine's own runtime
    cpus = 1                      processors that a container may use
    record_bodies = true          false: no record has a request body, so none with a body can be replayed
    limits = "none"
    [timeouts]                    seconds; 0: none
    start = 10
    head = 60
    idle = 0
    total = 0
    [env]
    GREETING = "hello"

A mistake is a ConfigError (400) with the file, the line of the key and that line's text.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import tomllib
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from dialback_invoker.errors import ConfigError
from dialback_invoker.names import name_problem
from dialback_invoker.platform_variables import set_by_platform
from dialback_invoker.toml_places import KeyPath, key_lines, line_of

CONFIG_FILE: Final = "dialback.toml"
LARGEST_CONFIG: Final = 65_536  # bytes
A_DAY: Final = 86_400.0  # seconds; the longest time-out

_ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)?", re.ASCII)
_PYTHON = re.compile(r"3\.(0|[1-9]\d?)(\.(0|[1-9]\d?))?", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_ASYNC: Final = 100  # invocations at once of handlers that share an event loop
_THREADS: Final = 10  # of handlers that run in threads


def _one_of(now: Sequence[str], later: Sequence[str] = ()) -> BeforeValidator:
    """Accepts ``now``; a value that is planned, but not served yet, gets an answer that says so."""

    def check(value: object) -> object:
        if not isinstance(value, str):
            raise PydanticCustomError("choice", "must be a string: {now}", {"now": _quoted(now)})
        if value in later:
            raise PydanticCustomError(
                "not_served", "is not served by this version of Dialback yet; use {now}", {"now": _quoted(now)}
            )
        if value not in now:
            hint = _did_you_mean(value, now)
            raise PydanticCustomError("choice", "must be {now}{hint}", {"now": _quoted(now), "hint": hint})
        return value

    return BeforeValidator(check)


def _matching(problem_of: Callable[[str], str | None]) -> AfterValidator:
    def check(value: str) -> str:
        problem = problem_of(value)
        if problem is not None:
            raise PydanticCustomError("grammar", "{problem}", {"problem": problem})
        return value

    return AfterValidator(check)


def _entry_problem(entry: str) -> str | None:
    return None if _ENTRY.fullmatch(entry) else 'must read "module:attribute", for example "app:app"'


def _python_problem(version: str) -> str | None:
    if _PYTHON.fullmatch(version) is None:
        return 'must read "3.12" or "3.12.4"'
    return None if int(version.split(".")[1]) >= 10 else "must be 3.10 or later"


def _variable_problem(name: str) -> str | None:
    if _VARIABLE.fullmatch(name) is None:
        return "is not a name of an environment variable"
    return "is set by the platform and cannot be given in [env]" if set_by_platform(name) else None


def _value_problem(value: str) -> str | None:
    return "contains a NUL character" if "\0" in value else None


Seconds = Annotated[float, Field(ge=0, le=A_DAY, allow_inf_nan=False)]
Variable = Annotated[str, _matching(_variable_problem)]
Value = Annotated[str, _matching(_value_problem)]

_AWS_RUNTIMES = ("python3.10", "python3.11", "python3.12", "python3.13", "nodejs18.x", "nodejs20.x", "nodejs22.x")
_LIMITS_LATER = ("aws-lambda", "aws-lambda-buffered", "vercel", "vercel-edge", "cloudflare")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Timeouts(_Strict):
    """When the platform gives up, in seconds; 0 means never."""

    start: Annotated[float, Field(gt=0, le=A_DAY, allow_inf_nan=False)] = 10.0
    """until a worker has dialled back, its start included"""
    head: Seconds = 60.0
    """from there to the response's head; in `buffered` mode the whole run"""
    idle: Seconds = 0.0
    """the longest silence inside a body"""
    total: Seconds = 0.0
    """the whole invocation"""


class FunctionConfig(_Strict):
    """One function's settings, as its ``dialback.toml`` gives them; the module's docstring shows the file."""

    name: Annotated[str, _matching(name_problem)] | None = None
    runtime: Annotated[Literal["python"], _one_of(["python"], ["node", "web", *_AWS_RUNTIMES])] = "python"
    launcher: Annotated[Literal["process", "docker"], _one_of(["process", "docker"], ["lambda"])] | None = None
    python: Annotated[str, _matching(_python_problem)] | None = None
    entry: Annotated[str, _matching(_entry_problem)] | None = None
    mode: Annotated[Literal["buffered", "callback", "tunnel"], _one_of(["buffered", "callback", "tunnel"])] = "callback"
    callback_socket: Annotated[Literal["keep", "each"], _one_of(["keep", "each"])] = "keep"
    event_loop: Annotated[Literal["auto", "asyncio", "uvloop"], _one_of(["auto", "asyncio", "uvloop"])] = "auto"
    preload: Annotated[Literal["auto", "on", "off"], _one_of(["auto", "on", "off"])] = "auto"
    concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = None
    max_workers: Annotated[int, Field(ge=1, le=1_000)] = 4
    memory_mb: Annotated[int, Field(ge=32, le=1_048_576)] = 256
    idle_seconds: Seconds = 300.0
    idle: Annotated[Literal["stop", "pause"], _one_of(["stop", "pause"])] = "stop"
    warm: Annotated[int, Field(ge=0, le=1_000)] = 0
    on_disconnect: Annotated[Literal["cancel", "linger", "finish"], _one_of(["cancel", "linger", "finish"])] = "cancel"
    linger_seconds: Seconds = 30.0
    errors: Annotated[Literal["detailed", "plain"], _one_of(["detailed", "plain"])] = "detailed"
    network: Annotated[Literal["none", "outside"], _one_of(["none", "outside"])] = "none"
    sandbox: Annotated[Literal["runsc"], _one_of(["runsc"])] | None = None
    cpus: Annotated[float, Field(ge=0.1, le=64, allow_inf_nan=False)] = 1.0
    record_bodies: bool = True
    limits: Annotated[Literal["none"], _one_of(["none"], _LIMITS_LATER)] = "none"
    timeouts: Timeouts = Timeouts()
    env: dict[Variable, Value] = Field(default_factory=dict)

    @field_validator("warm")
    @classmethod
    def _warm_workers_fit(cls, warm: int, info: ValidationInfo) -> int:
        most = info.data.get("max_workers", warm)
        if warm > most:
            raise PydanticCustomError("fit", "is more than max_workers = {most}", {"most": most})
        return warm

    def concurrency_for(self, blocks: bool) -> int:
        """Invocations that one worker serves at once: as configured, else 10 if the handler blocks and 100 if not."""
        return self.concurrency or (_THREADS if blocks else _ASYNC)


def load_config(folder: Path) -> FunctionConfig:
    """The configuration in ``folder``; without a file all defaults. Raises ConfigError naming file and line."""
    path = folder / CONFIG_FILE
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_CONFIG + 1)
    except FileNotFoundError:
        return FunctionConfig()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=CONFIG_FILE) from error
    return parse_config(raw)


def key_place(folder: Path, *path: str) -> tuple[int | None, str | None]:
    """The line of a key in the configuration in ``folder``, which was read before, and what stands there."""
    try:
        text = (folder / CONFIG_FILE).read_text("utf-8")
    except OSError:
        return None, None
    line = line_of(key_lines(text), path)
    return line, _line(text.splitlines(), line or 0)


def parse_config(raw: bytes, file: str = CONFIG_FILE) -> FunctionConfig:
    """The configuration in the bytes of a ``dialback.toml``; ``file`` is the name that errors show."""
    if len(raw) > LARGEST_CONFIG:
        raise ConfigError(f"is larger than {LARGEST_CONFIG} bytes", file=file)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError("is not UTF-8", file=file, line=raw.count(b"\n", 0, error.start) + 1) from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(error, text, file) from error
    except RecursionError as error:
        raise ConfigError("is nested too deeply", file=file) from error
    try:
        return FunctionConfig.model_validate(values)
    except ValidationError as error:
        raise _first_mistake(error, text, file) from error


def _syntax_error(error: tomllib.TOMLDecodeError, text: str, file: str) -> ConfigError:
    found = re.search(r" ?\(at (?:line (\d+), column \d+|end of document)\)", str(error))
    lines = text.splitlines()
    line = int(found[1]) if found and found[1] else len(lines)
    message = str(error)[: found.start()] if found else str(error)
    return ConfigError(
        f"not valid TOML: {message}", code="config_syntax", file=file, line=line, source=_line(lines, line)
    )


def _first_mistake(error: ValidationError, text: str, file: str) -> ConfigError:
    places = key_lines(text)
    mistakes = []
    for details in error.errors(include_url=False):
        path = tuple(str(part) for part in details["loc"] if part != "[key]")
        mistakes.append((line_of(places, path) or 0, path, details))
    line, path, details = min(mistakes, key=lambda mistake: mistake[0])
    message = _explain(path, details)
    if len(mistakes) > 1:
        message += f" (and {len(mistakes) - 1} more)"
    return ConfigError(message, file=file, line=line or None, source=_line(text.splitlines(), line))


def _explain(path: KeyPath, details: ErrorDetails) -> str:
    key = ".".join(path)
    if details["type"] == "extra_forbidden":
        model: type[BaseModel] = Timeouts if path[:-1] == ("timeouts",) else FunctionConfig
        return f"unknown key {key!r}{_did_you_mean(path[-1], list(model.model_fields))}"
    message = details["msg"]
    if details["type"] == "grammar" and path[0] != "env":
        return f"{key}: {message}"
    value = details["input"]
    shown = "" if isinstance(value, dict) or path[0] == "env" else f" = {_short(value)}"
    return f"{key}{shown}: {message.replace('Input should', 'should')}"


def _short(value: object) -> str:
    shown = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word[:64].lower(), known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def _quoted(words: Sequence[str]) -> str:
    return " or ".join(f'"{word}"' for word in words)


def _line(lines: Sequence[str], number: int) -> str | None:
    return lines[number - 1].strip()[:200] if 0 < number <= len(lines) else None
