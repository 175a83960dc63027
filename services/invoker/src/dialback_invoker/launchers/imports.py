"""Which modules a function imports from elsewhere, read from its text without running any of it."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

MOST_FILES = 300
LARGEST = 1_000_000
"""Bytes of a file that is read."""
MOST_MODULES = 200
LEFT_OUT = frozenset({"__pycache__", "node_modules", "site-packages", "venv", "tests", "test"})


def imports_of(folder: Path) -> tuple[str, ...]:
    """Absolute names that its modules import at their top level, sorted; what the folder holds itself is left out.

    Files that cannot be read or are no Python are passed over: whoever runs them says so. Blocks.
    """
    try:
        own = {entry.partition(".")[0] for entry in os.listdir(folder)}
    except OSError:
        return ()
    found: set[str] = set()
    for path in _files(folder):
        try:
            if path.stat().st_size <= LARGEST:
                found.update(_imports(ast.parse(path.read_bytes())))
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    wanted = sorted(name for name in found if name.partition(".")[0] not in own and not name.startswith("dialback_"))
    return tuple(wanted[:MOST_MODULES])


def _files(folder: Path) -> Iterator[Path]:
    count = 0
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT and not name.startswith("."))
        for name in sorted(files):
            if name.endswith(".py") and count < MOST_FILES:
                count += 1
                yield Path(place, name)


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
