"""Finds the file that a function starts from, and checks its syntax, without running anything."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

from dialback_invoker.errors import EntryError

ENTRY_FILES: Final = (
    "app.py",
    "main.py",
    "index.py",
    "function.py",
    "handler.py",
    "lambda_function.py",
    "wsgi.py",
    "asgi.py",
)


def find_entry_file(folder: Path, entry: str | None) -> Path:
    """The entry's file, relative to ``folder``: of the configured ``entry``, else the first of `ENTRY_FILES`.

    Raises EntryError when there is none.
    """
    if entry is None:
        for name in ENTRY_FILES:
            if (folder / name).is_file():
                return Path(name)
        raise EntryError(
            f"no entry found: none of {', '.join(ENTRY_FILES)} is there; "
            'set entry = "module:attribute" in dialback.toml',
            code="entry_missing",
        )
    module, colon, _ = entry.partition(":")
    candidates = [module] if colon else [module, module.rpartition(".")[0]]
    for candidate in filter(None, candidates):
        stem = Path(*candidate.split("."))
        for path in (stem.with_name(stem.name + ".py"), stem / "__init__.py"):
            if (folder / path).is_file():
                return path
    wanted = Path(*module.split("."))
    raise EntryError(f"the entry {entry!r} needs {wanted}.py, which is not there", code="entry_missing")


def check_syntax(folder: Path, path: Path) -> None:
    """Compile ``path`` below ``folder``; raises EntryError with file, line and the line's text. Runs nothing."""
    try:
        source = (folder / path).read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SyntaxWarnings are the author's business, not ours
            compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        text = (error.text or "").strip()[:200] or None
        raise EntryError(error.msg, code="syntax_error", file=str(path), line=error.lineno, source=text) from error
    except (ValueError, RecursionError, MemoryError) as error:  # NUL bytes; nesting that the compiler gives up on
        raise EntryError(f"cannot be compiled: {error}", code="syntax_error", file=str(path)) from error
