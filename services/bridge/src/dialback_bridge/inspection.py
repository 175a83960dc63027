"""`python -m dialback_bridge inspect`: say what a function is, as one line of JSON, before it is deployed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from .discovery import find_entry
from .entry import EntryError

EXIT_NO_ENTRY = 3


def describe(folder: Path, entry: str | None) -> tuple[dict[str, Any], int]:
    """What is printed, and the exit status: 0 for a function, 3 for something that is none."""
    try:
        found = find_entry(folder, entry)
    except EntryError as error:
        place = {"message": error.message, "file": error.file, "line": error.line, "source": error.source}
        return {"error": {"code": _code(error), **place}}, EXIT_NO_ENTRY
    return {"entry": found.name, "kind": found.kind.value, "blocks": found.blocks}, 0


def _code(error: EntryError) -> str:
    """A word for machines: what the user's code raised says whether there was any."""
    if error.__cause__ is None:
        return "entry_missing"
    return "syntax_error" if isinstance(error.__cause__, SyntaxError) else "import_failed"


def inspect_function(folder: Path, entry: str | None, bytecode: bool = False) -> int:
    """Print the description on the real standard output; returns the exit status.

    With `bytecode` what is imported is compiled for good, so that a first worker finds it so.

    What user code prints while it is imported, even from C or from a child process, goes to the standard error.
    """
    sys.dont_write_bytecode = not bytecode
    # A breakpoint() at the top of a module stops in the worker; here nobody could answer it.
    sys.breakpointhook = lambda *_, **__: None
    real = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    description, status = describe(folder, entry)
    with os.fdopen(real, "w", encoding="utf-8") as output:
        output.write(json.dumps(description) + "\n")
    return status
