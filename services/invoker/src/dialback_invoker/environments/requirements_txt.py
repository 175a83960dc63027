"""Reads a requirements.txt as pip's reference describes it: continuations, comments, includes, options.

https://pip.pypa.io/en/stable/reference/requirements-file-format/

What a line means is left to uv; what must be known here is which files of the function it reads, so that they are
hashed and stay inside its folder.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Final

from dialback_invoker.environments.tree_files import LocalFiles, Place, read_text

DEEPEST: Final = 16
"""files that include one another"""

_COMMENT = re.compile(r"(^|\s+)#.*$")
_OPTION = re.compile(r"(?P<name>-[a-zA-Z]|--[a-z][a-z-]*)(?:\s*=\s*|\s+|(?<=^-[a-zA-Z]))(?P<value>\S.*)?")
_INCLUDES: Final = {"-r", "--requirement"}
_CONSTRAINTS: Final = {"-c", "--constraint", "--constraints"}
_EDITABLE: Final = {"-e", "--editable"}
_LINKS: Final = {"-f", "--find-links"}
_ARCHIVES: Final = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz")


def read_requirements_txt(files: LocalFiles, file: str) -> list[str]:
    """The lines of ``file``, those of what it includes in place, paths from the function's folder.

    Editable requirements become plain ones, for an environment outlives the folder that it was built from. Raises
    RequirementsError.
    """
    return list(_lines(files, file, Place(file, None, None), ()))


def _lines(files: LocalFiles, file: str, asked: Place, above: tuple[str, ...]) -> Iterator[str]:
    if file in above or len(above) >= DEEPEST:
        raise asked.error(f"{file} includes itself" if file in above else f"files include each other {DEEPEST} deep")
    base = posixpath.dirname(file)
    for number, text in _joined(read_text(files.folder, file, asked)):
        place = Place(file, number, text[:200])
        option = _OPTION.fullmatch(text) if text.startswith("-") else None
        name, value = (option["name"], (option["value"] or "").strip()) if option else ("", "")
        if name in _INCLUDES | _CONSTRAINTS | _EDITABLE | _LINKS and not value:
            raise place.error(f"{name} needs a value")
        if name in _INCLUDES and not _remote(value):
            yield from _lines(files, files.inside(value, place, base), place, (*above, file))
        elif name in _CONSTRAINTS and not _remote(value):
            inner = files.take(value, place, base)
            for _ in _lines(files, inner, place, (*above, file)):
                pass  # what it includes is hashed; uv reads it itself
            yield f"-c {inner}"
        elif name in _LINKS and not _remote(value) and not posixpath.isabs(value):
            yield f"--find-links {files.take(value, place, base)}"
        elif name in _EDITABLE:
            yield _requirement(files, value, place)
        elif option or text.startswith("-"):
            yield text
        else:
            yield _requirement(files, text, place)


def _requirement(files: LocalFiles, text: str, place: Place) -> str:
    """A requirement; one that names a file or folder is counted into the hash."""
    direct = re.match(r"[\w.\-\[\], ]+?\s*@\s*(\S+)", text)
    target = direct[1] if direct else re.split(r"\s|;", text, maxsplit=1)[0]
    path = re.sub(r"\[[^\]]*\]$", "", target)
    if target.startswith("file:"):
        files.take(path, place)
    elif not _remote(target) and (direct or "/" in path or path.startswith(".") or path.endswith(_ARCHIVES)):
        inner = files.take(path, place)
        # uv takes a bare name for a package, so a path says that it is one.
        return text.replace(path, f"./{inner}", 1)
    return text


def _remote(value: str) -> bool:
    return "://" in value and not value.startswith("file:")


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines with the number of their first physical one, without comments and empty ones."""
    parts: list[str] = []
    start = 0
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        start = start if parts else number
        if line.endswith("\\") and not _COMMENT.match(line):
            parts.append(line[:-1])
            continue
        whole = _COMMENT.sub("", " ".join([*parts, line]) if parts else line)
        parts = []
        joined = re.sub(r"\s+", " ", whole).strip()
        if joined:
            yield start, joined
