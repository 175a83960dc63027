"""The grammar of function names: AWS Lambda's, so that a name that works here works there."""

from __future__ import annotations

import re
from typing import Final

from dialback_invoker.errors import InvalidInput

LONGEST_NAME: Final = 64
_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_-]*", re.ASCII)


def name_problem(name: str) -> str | None:
    """What is wrong with ``name`` as a function's name, or None. Never repeats more than the start of a long name."""
    if not name:
        return "a function's name may not be empty"
    if len(name) > LONGEST_NAME:
        return f"the function name {name[:16]!r}... has {len(name)} characters; {LONGEST_NAME} are allowed"
    if name.startswith("-"):
        return f"the function name {name!r} starts with a dash"
    if _NAME.fullmatch(name) is None:
        return f"the function name {name!r} may contain only letters a-z and A-Z, digits, '-' and '_'"
    return None


def check_name(name: str) -> str:
    """``name`` itself, if it is a function's name; raises InvalidInput (400, code ``invalid_name``) if not."""
    problem = name_problem(name)
    if problem is not None:
        raise InvalidInput(problem, code="invalid_name")
    return name


def name_key(name: str) -> str:
    """What makes names equal: they are unique ignoring case."""
    return name.lower()
