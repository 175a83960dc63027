"""What a variable may be called and hold. ``[env]`` of dialback.toml and `dialback env set` obey the same rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from dialback_invoker.errors import InvalidInput
from dialback_invoker.platform_variables import set_by_platform

LONGEST_NAME: Final = 256
MOST_BYTES: Final = 32_768
"""Of all names and values that are set for a function, in UTF-8."""
LAMBDA_BYTES: Final = 4_096
"""What AWS Lambda allows."""
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_READ_AT_START: Final = ("PYTHON", "LD_", "MALLOC_", "GLIBC_")


def name_problem(name: str) -> str | None:
    """What is wrong with a variable's name, or None."""
    if len(name) > LONGEST_NAME:
        return f"is longer than {LONGEST_NAME} characters"
    if _NAME.fullmatch(name) is None:
        return "is not a name of an environment variable: letters, digits and _, no digit first"
    return "is reserved: the platform sets it" if set_by_platform(name) else None


def value_problem(value: str) -> str | None:
    """What is wrong with a value, or None. Never repeats it."""
    if "\0" in value:
        return "contains a NUL character"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "is not text"
    return None


def check(name: str, value: str, secret: bool) -> None:
    """Raises InvalidInput (400, code ``invalid_variable``) naming the variable and never its value."""
    if (problem := name_problem(name)) is not None:
        raise InvalidInput(f"{name[:64]!r} {problem}", code="invalid_variable")
    if (problem := value_problem(value)) is not None:
        raise InvalidInput(f"the value of {name} {problem}", code="invalid_variable")
    if secret and name.startswith(_READ_AT_START):
        raise InvalidInput(
            f"{name} is read while a process starts, and a secret is handed over after that: set it without --secret",
            code="invalid_variable",
        )


def size(variables: Mapping[str, str]) -> int:
    """Bytes of names and values, as Lambda counts them."""
    return sum(len(name.encode()) + len(value.encode()) for name, value in variables.items())
