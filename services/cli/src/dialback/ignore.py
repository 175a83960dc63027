"""`.dialbackignore`: which files stay out of a bundle, in gitignore's language.

Blank lines and `#` comments; `*`, `?`, `[...]` within one name, `**` across folders; a slash in front or in the
middle ties the pattern to the folder's root, one at the end means folders alone; `!` takes a file back in. The
last pattern that matches decides. A folder that is left out is not looked into.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from dialback.errors import UsageProblem

IGNORE_NAME = ".dialbackignore"
ALWAYS = (".git", ".hg", "__pycache__", ".venv", "venv", "node_modules", "*.py[co]", ".dialback", ".DS_Store")
CACHES = (".mypy_cache", ".ruff_cache", ".pytest_cache", IGNORE_NAME)


@dataclass(frozen=True, slots=True)
class Pattern:
    expression: re.Pattern[str]
    keep: bool
    folders_only: bool


@dataclass(frozen=True, slots=True)
class Ignore:
    """The patterns of one folder, the built-in ones first."""

    patterns: tuple[Pattern, ...]

    @classmethod
    def of(cls, folder: Path) -> Ignore:
        """UsageProblem with file and line when `.dialbackignore` holds what is no pattern."""
        built_in = [parse_pattern(text) for text in (*ALWAYS, *CACHES)]
        file = folder / IGNORE_NAME
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return cls(tuple(built_in))
        except UnicodeDecodeError:
            raise UsageProblem("this file is not UTF-8 text", file=file) from None
        for number, text in enumerate(lines, 1):
            text = text.rstrip()
            if text and not text.startswith("#"):
                try:
                    built_in.append(parse_pattern(text))
                except (re.error, ValueError):
                    raise UsageProblem("this is not a pattern", file=file, line=number, source=text) from None
        return cls(tuple(built_in))

    def leaves_out(self, path: str, folder: bool) -> bool:
        """Whether `path` (relative, with /) stays out; `folder` tells that it is one."""
        out = False
        for pattern in self.patterns:
            if (folder or not pattern.folders_only) and pattern.expression.fullmatch(path):
                out = not pattern.keep
        return out


def parse_pattern(text: str) -> Pattern:
    """ValueError or re.error when it is none."""
    keep = text.startswith("!")
    body = text[1:] if keep or text.startswith("\\") else text
    folders_only = body.endswith("/")
    body = body.rstrip("/")
    anchored = "/" in body
    body = body.lstrip("/")
    if not body:
        raise ValueError(text)
    prefix = "" if anchored else "(?:.*/)?"
    return Pattern(re.compile(prefix + "".join(_translate(body)), re.DOTALL), keep, folders_only)


_TOKENS = re.compile(
    r"(?P<deep>(?:^|(?<=/))\*\*/)|(?P<all>\*\*)|(?P<star>\*)|(?P<any>\?)|(?P<set>\[!?\]?[^\]]*\])|(?P<char>.)",
    re.DOTALL,
)


def _translate(body: str) -> list[str]:
    meaning = {"deep": "(?:.*/)?", "all": ".*", "star": "[^/]*", "any": "[^/]"}
    parts = []
    for token in _TOKENS.finditer(body):
        kind = token.lastgroup or "char"
        if kind == "set":
            inner = token[0][1:-1].replace("\\", "\\\\")
            parts.append("[^" + inner[1:] + "]" if inner.startswith("!") else "[" + inner + "]")
        else:
            parts.append(meaning.get(kind) or re.escape(token[0]))
    return parts
