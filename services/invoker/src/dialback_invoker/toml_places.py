"""Where each key of a TOML document stands. ``tomllib`` forgets lines; an error without one sends people searching.

The document is cut into statements: lines are joined until they parse by themselves, which a multi-line string or array
does only when it is closed. Each statement is then parsed alone, so TOML's own grammar decides what its keys are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import tomllib

KeyPath = tuple[str, ...]
_LONGEST_STATEMENT: Final = 200  # lines; past it places are given up, for joining is quadratic in a statement's lines


def key_lines(text: str) -> dict[KeyPath, int]:
    """The 1-based line at which each key path of a well-formed document starts, tables' headers included."""
    places: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for line, statement in _statements(text):
        parsed = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = _header_path(parsed)
            places.setdefault(table, line)
        else:
            for path in _paths(parsed):
                places.setdefault(table + path, line)
    return places


def line_of(places: Mapping[KeyPath, int], path: KeyPath) -> int | None:
    """The line of ``path``, or of the nearest thing around it."""
    while path:
        if path in places:
            return places[path]
        path = path[:-1]
    return None


def _statements(text: str) -> Iterator[tuple[int, str]]:
    held: list[str] = []
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        held.append(line)
        try:
            tomllib.loads("".join(held))
        except tomllib.TOMLDecodeError:
            if len(held) > _LONGEST_STATEMENT:
                return
            continue
        yield number - len(held) + 1, "".join(held)
        held.clear()


def _header_path(parsed: Mapping[str, Any]) -> KeyPath:
    path: list[str] = []
    node: object = parsed
    while isinstance(node, (Mapping, list)) and node:
        if isinstance(node, list):
            node = node[0]
            continue
        key = next(iter(node))
        path.append(key)
        node = node[key]
    return tuple(path)


def _paths(parsed: Mapping[str, Any], prefix: KeyPath = ()) -> Iterator[KeyPath]:
    for key, value in parsed.items():
        yield (*prefix, key)
        if isinstance(value, Mapping):
            yield from _paths(value, (*prefix, key))
