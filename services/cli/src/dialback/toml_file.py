"""A TOML file whose problems can be shown with file, line and source line (tomllib keeps no positions)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import tomllib

from dialback.errors import UsageProblem

_POSITION = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_KEY = re.compile(r"""^\s*(?:\[\s*)?(["']?)(?P<key>[^"'=.\]\s]+)\1\s*[=.\]]""")


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

    def problem(self, key: str, message: str, hint: str = "") -> UsageProblem:
        """An error about one top-level key, pointing at its line."""
        for number, text in enumerate(self.lines, 1):
            found = _KEY.match(text)
            if found and found["key"] == key:
                return UsageProblem(message, hint=hint, file=self.path, line=number, source=text)
        return UsageProblem(message, hint=hint, file=self.path)
