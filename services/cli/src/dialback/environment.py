"""What `env set` was given, and where the values that were not typed come from."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from dialback.errors import CliError, UsageProblem

LARGEST: int = 32_768
"""Bytes that are read as one value; the platform has the same limit for all of a function's variables."""


@dataclass(frozen=True, slots=True)
class NewVariable:
    """A value, and whether it is a secret."""

    value: str = field(repr=False)
    secret: bool


def given(words: Sequence[str], secret: bool) -> dict[str, NewVariable]:
    """The variables of a command line. UsageProblem never repeats a value."""
    found: dict[str, NewVariable] = {}
    bare = [word for word in words if "=" not in word]
    if len(bare) > 1 and not _asks():
        raise UsageProblem("standard input gives one value, and several keys have none", hint="set them one by one")
    for word in words:
        key, equals, value = word.partition("=")
        if not key:
            raise UsageProblem("a variable is written KEY=VALUE, or KEY alone")
        if key in found:
            raise UsageProblem(f"{key} is given twice")
        if equals and secret:
            raise UsageProblem(
                f"the value of the secret {key} was typed on the command line, where others can read it",
                hint=f"leave it out: `dialback env set NAME {key} --secret` asks for it, or reads a pipe;"
                " and think of the shell's history",
            )
        found[key] = NewVariable(value if equals else _read(key), secret)
    return found


def _asks() -> bool:
    return sys.stdin.isatty()


def _read(key: str) -> str:
    if _asks():
        from getpass import getpass

        try:
            return getpass(f"{key}: ")
        except EOFError:
            raise CliError(f"no value for {key} was given") from None
    raw = sys.stdin.buffer.read(LARGEST + 2)
    if len(raw) > LARGEST + 1:
        raise UsageProblem(f"the value of {key} has more than {LARGEST:,} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise UsageProblem(f"the value of {key} is not UTF-8 text", hint="encode it, for example as base64") from None
    if not text:
        raise UsageProblem(f"standard input has no value for {key}", hint=f"an empty one is written {key}=")
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
