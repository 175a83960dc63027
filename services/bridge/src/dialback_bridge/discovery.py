"""Find a function's entry without configuration: by the name of a file and by what that file exports.

An explicit entry is `module:attribute`, Lambda's `module.attribute` (also `folder/module.attribute`), or a module
alone.
"""

from __future__ import annotations

import importlib
import importlib.util
import linecache
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from .entry import METHODS, Entry, EntryError, Kind, classify

FILES = ("app.py", "main.py", "index.py", "function.py", "handler.py", "lambda_function.py", "wsgi.py", "asgi.py")
"""Looked for in this order; a folder with one Python file alone needs none of these names."""

EXPORTS = ("app", "application", "handler", "lambda_handler", "fetch")
"""Looked for in this order in the file; behind them, functions named after methods (`GET`, `POST`, ...)."""

WANTED = (
    "an ASGI or WSGI `app` or `application`, a `handler(event, context)` or `lambda_handler(event, context)`, a "
    "BaseHTTPRequestHandler class named `handler`, a `fetch(request)`, or functions named `GET`, `POST`, ..."
)


def find_entry(folder: Path, name: str | None = None, kind: str | None = None) -> Entry:
    """Import the function in `folder` and return its entry. Raises EntryError.

    `name` is an explicit entry and `kind` an explicit style; without them both are found out.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise EntryError(f"{folder} is not a folder")
    if kind is not None and kind not in [each.value for each in Kind]:
        raise EntryError(f"unknown kind of handler {kind!r}; this version knows {', '.join(k.value for k in Kind)}")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    if name is not None:
        module_name, attribute = _split(name)
        if attribute is not None:
            return _explicit(folder, module_name, attribute, kind)
        return _pick(folder, module_name, kind)
    return _pick(folder, _find_module(folder), kind)


def _split(name: str) -> tuple[str, str | None]:
    module, colon, attribute = name.partition(":")
    if not colon and not name.endswith(".py"):
        # Lambda's form; a name without a dot is a module.
        module, _, attribute = name.rpartition(".")
        if not module:
            module, attribute = name, ""
    module = module.removesuffix(".py").replace("/", ".")
    parts = module.split(".")
    if not all(part.isidentifier() for part in [*parts, *(attribute.split(".") if attribute else ())]):
        raise EntryError(f"entry {name!r} is neither MODULE:ATTRIBUTE nor MODULE.ATTRIBUTE")
    return module, attribute or None


def _find_module(folder: Path) -> str:
    for file in FILES:
        if (folder / file).is_file():
            return file.removesuffix(".py")
    others = sorted(path.name for path in folder.glob("*.py"))
    if len(others) == 1 and others[0].removesuffix(".py").isidentifier():
        return others[0].removesuffix(".py")
    found = f"there are {', '.join(others[:5])}" if others else "there is no Python file"
    raise EntryError(
        f"no entry: none of {', '.join(FILES)} is in the function's folder ({found}); name one with `entry`"
    )


def _explicit(folder: Path, module_name: str, attribute: str, kind: str | None) -> Entry:
    module = _load(folder, module_name)
    if attribute in METHODS and callable(getattr(module, attribute, None)):
        # One stands for all that the module has: otherwise a request with another method would find none.
        return _methods(module)
    target: Any = module
    for part in attribute.split("."):
        if not hasattr(target, part):
            raise EntryError(
                f"module {module_name!r} has no attribute {attribute!r}", _relative(folder, module.__file__)
            )
        target = getattr(target, part)
    found = Kind(kind) if kind is not None and callable(target) else classify(attribute, target)
    if isinstance(found, Kind):
        return Entry(f"{module_name}:{attribute}", found, target)
    raise EntryError(found, _relative(folder, module.__file__))


def _pick(folder: Path, module_name: str, kind: str | None) -> Entry:
    module = _load(folder, module_name)
    try:
        return choose(module, kind)
    except EntryError as error:
        raise EntryError(error.message, error.file or _relative(folder, module.__file__)) from None


def choose(module: ModuleType, kind: str | None = None) -> Entry:
    """The entry among what `module` exports. Raises EntryError."""
    module_name, objections = module.__name__, []
    for attribute in EXPORTS:
        target = getattr(module, attribute, None)
        if target is None:
            continue
        found = classify(attribute, target)
        if not isinstance(found, Kind):
            objections.append(found)
        elif kind not in (None, found.value):
            objections.append(f"`{attribute}` is {found.value}, not {kind}")
        else:
            return Entry(f"{module_name}:{attribute}", found, target)
    if any(callable(getattr(module, name, None)) for name in METHODS):
        if kind in (None, Kind.FETCH.value):
            return _methods(module)
        objections.append(f"functions named after methods are {Kind.FETCH.value}, not {kind}")
    reasons = "; ".join(objections) or f"it exports none of {', '.join(EXPORTS)}"
    raise EntryError(f"no entry: {reasons}. Wanted: {WANTED}")


def _methods(module: ModuleType) -> Entry:
    """The functions of `module` that are named after methods, as one entry under the first one's name."""
    found = {}
    for name in METHODS:
        target = getattr(module, name, None)
        if callable(target):
            kind = classify(name, target)
            if not isinstance(kind, Kind):
                raise EntryError(kind, os.path.basename(module.__file__ or "") or None)
            found[name] = target
    return Entry(f"{module.__name__}:{next(iter(found))}", Kind.FETCH, found)


def _load(folder: Path, name: str) -> ModuleType:
    if name.split(".")[0] in sys.stdlib_module_names:
        raise EntryError(f"the module's name {name!r} is that of one of Python's own modules: rename the file")
    path = folder.joinpath(*name.split("."))
    if not (path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()):
        raise EntryError(f"no entry: there is no module {name!r} in the function's folder")
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except SyntaxError as error:
        file = _relative(folder, error.filename)
        raise EntryError(f"SyntaxError: {error.msg}", file, error.lineno, (error.text or "").strip() or None) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: code that exits when it is imported serves nothing
        raise _located(folder, error) from error


def _located(folder: Path, error: BaseException) -> EntryError:
    """`error` with the place of the deepest frame in the user's own code."""
    text = "".join(traceback.format_exception_only(type(error), error)).strip()
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        file = _relative(folder, frame.f_code.co_filename)
        if file is not None:
            source = linecache.getline(frame.f_code.co_filename, line).strip()
            return EntryError(text, file, line, source or None)
    return EntryError(text)


def _relative(folder: Path, file: str | None) -> str | None:
    """`file` relative to `folder`; None when it is not the user's own (outside, or an installed dependency)."""
    if file is None:
        return None
    path = os.path.realpath(file)
    inside = os.path.relpath(path, folder)
    if inside.startswith("..") or "site-packages" in inside.split(os.sep):
        return None
    return inside
