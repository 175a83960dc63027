"""The environment variables of a worker that the platform sets: a function's ``[env]`` may name any other."""

from __future__ import annotations

from typing import Final

NAMES: Final = frozenset(
    {"HOME", "TMPDIR", "_HANDLER", "_X_AMZN_TRACE_ID", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "AWS_EXECUTION_ENV"}
)
PREFIXES: Final = ("DIALBACK_", "AWS_LAMBDA_")
"""Names that begin so belong to the platform, also those that it does not set yet."""


def set_by_platform(name: str) -> bool:
    """Whether ``[env]`` may not hold it, because the worker would find the platform's value there."""
    return name in NAMES or name.startswith(PREFIXES)
