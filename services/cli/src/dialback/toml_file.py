"""A TOML file whose problems can be shown with file, line and source line (tomllib keeps no positions)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tomllib

from dialback.errors import UsageProblem
from dialback_invoker.toml_places import key_lines, line_of

_POSITION = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True, slots=True)
class TomlFile:
    """The parsed top level of a file and its lines."""

    path: Path
    values: dict[str, object]
    lines: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> TomlFile:
        """UsageProblem when the file cannot be read or is not TOML."""
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as broken:
            raise UsageProblem("this file is not UTF-8 text", file=path) from broken
        except OSError as missing:
            raise UsageProblem(f"cannot read it: {missing.strerror}", file=path) from missing
        lines = tuple(text.splitlines())
        try:
            return cls(path, tomllib.loads(text), lines)
        except tomllib.TOMLDecodeError as broken:
            message = str(broken)
            position = _POSITION.search(message)
            line = int(position[1]) if position and position[1] else max(1, len(lines))
            source = lines[line - 1] if line <= len(lines) else ""
            what = _POSITION.sub("", message)
            raise UsageProblem(f"this is not TOML: {what}", file=path, line=line, source=source) from broken

    def problem(self, key: str | Sequence[str], message: str, hint: str = "") -> UsageProblem:
        """An error about one key, or about one inside tables by its path, pointing at its line."""
        path = (key,) if isinstance(key, str) else tuple(key)
        line = line_of(key_lines("\n".join((*self.lines, ""))), path)
        source = None if line is None else self.lines[line - 1]
        return UsageProblem(message, hint=hint, file=self.path, line=line, source=source)
