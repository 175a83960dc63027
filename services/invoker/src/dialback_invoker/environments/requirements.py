"""What a function needs to be installed, found in its folder and given a hash. Reads files and runs nothing.

    requirements.txt                     with what it includes; wins over the others
    pyproject.toml with [project]        its dependencies and requires-python; the project itself is not installed.
                                         With a uv.lock beside it: exactly the versions that this locks
    a script block (PEP 723)             `# /// script` in the file that `entry` names, else in the one file at the
                                         top of the folder that has such a block

The hash covers all that decides what gets installed, the content of local files and folders included, and nothing
else: comments, blank lines, and other tools' tables of a pyproject.toml may change without a new build.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import tomllib

from dialback_invoker.environments.requirements_txt import read_requirements_txt
from dialback_invoker.environments.tree_files import LocalFiles, Place, read_text
from dialback_invoker.errors import RequirementsError

Kind = Literal["requirements.txt", "pyproject.toml", "uv.lock", "script"]

REQUIREMENTS: Final = "requirements.txt"
PROJECT: Final = "pyproject.toml"
LOCK: Final = "uv.lock"

_BLOCK = re.compile(  # PEP 723, reference implementation
    r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$"
)
_MARK: Final = b"# /// script"
_FORMAT: Final = 1  # of the hash; a change makes every environment anew


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a function asks for."""

    kind: Kind
    file: str
    """the file that says it, from the function's folder"""
    lines: tuple[str, ...]
    """as a requirements.txt would hold them: requirements and options, includes resolved, without comments. Paths in
    them are from the function's folder. Of a pyproject.toml or a script they are the dependencies alone, without what
    [tool.uv] adds; of a uv.lock they are what it was made from."""
    requires_python: str | None
    """a version specifier such as ``>=3.11``; None: any"""
    local: tuple[str, ...]
    """files and folders of the function that are read during the installation, besides ``file``; ``.``: all of it"""
    digest: str
    """SHA-256 in hex over everything that decides what gets installed"""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to install, though there may be a ``requires_python``."""
        return all(line.startswith("-") and not line.startswith(("-r ", "--requirement")) for line in self.lines)


def find_requirements(folder: Path, entry: str | None = None) -> Requirements | None:
    """The requirements of the function in ``folder``; None when it names none. Blocks for a few reads.

    ``entry`` is the one that dialback.toml names. Raises RequirementsError with file and line.
    """
    return _from_requirements_txt(folder) or _from_project(folder) or _from_script(folder, entry)


def _from_requirements_txt(folder: Path) -> Requirements | None:
    if not (folder / REQUIREMENTS).is_file():
        return None
    files = LocalFiles(folder)
    lines = read_requirements_txt(files, REQUIREMENTS)
    return _made("requirements.txt", REQUIREMENTS, lines, None, files, {})


def _from_project(folder: Path) -> Requirements | None:
    if not (folder / PROJECT).is_file():
        return None
    values = _toml(read_text(folder, PROJECT), PROJECT, 0)
    project = values.get("project")
    if project is None:
        return None  # a file for linters alone
    project = _table(project, "project", PROJECT)
    if "dependencies" in _strings(project.get("dynamic", []), "project.dynamic", PROJECT):
        raise RequirementsError(
            "project.dependencies is dynamic, and its build is not run: list them here or in a requirements.txt",
            file=PROJECT,
        )
    lines = _strings(project.get("dependencies", []), "project.dependencies", PROJECT)
    uv = _uv_table(values, PROJECT)
    files = LocalFiles(folder)
    _take_local(lines, uv, files, PROJECT)
    kind: Kind = "pyproject.toml"
    if (folder / LOCK).is_file():
        files.take(LOCK, Place(PROJECT, None, None))
        kind = "uv.lock"
    return _made(kind, PROJECT, lines, _specifier(project, PROJECT), files, {"uv": uv})


def _from_script(folder: Path, entry: str | None) -> Requirements | None:
    found = {}
    for file in _scripts(folder, entry):
        if _MARK not in (folder / file).read_bytes():
            continue  # whatever its encoding is
        block = _script_block(read_text(folder, file), file)
        if block is not None:
            found[file] = block
    if not found:
        return None
    if len(found) > 1:
        both = " and ".join(sorted(found)[:2])
        raise RequirementsError(f"{both} both have a script block (PEP 723): name one with `entry` in dialback.toml")
    [(file, values)] = found.items()
    lines = _strings(values.get("dependencies", []), "dependencies", file)
    uv = _uv_table(values, file)
    files = LocalFiles(folder)
    _take_local(lines, uv, files, file)
    return _made("script", file, lines, _specifier(values, file), files, {"uv": uv})


def _scripts(folder: Path, entry: str | None) -> list[str]:
    if entry is not None:
        parts = entry.partition(":")[0].split(".")
        named = ["/".join(parts[:depth]) + ".py" for depth in range(len(parts), 0, -1)]
        return [file for file in named if (folder / file).is_file()][:1]
    with os.scandir(folder) as entries:
        return sorted(item.name for item in entries if item.name.endswith(".py") and item.is_file())


def _script_block(text: str, file: str) -> dict[str, Any] | None:
    blocks = [found for found in _BLOCK.finditer(text) if found["type"] == "script"]
    if not blocks:
        return None
    if len(blocks) > 1:
        line = text.count("\n", 0, blocks[1].start()) + 1
        raise RequirementsError("there is a second script block (PEP 723); one is allowed", file=file, line=line)
    content = "".join(
        line[2:] if line.startswith("# ") else line[1:] for line in blocks[0]["content"].splitlines(keepends=True)
    )
    return _toml(content, file, text.count("\n", 0, blocks[0].start()) + 1)


# --- reading TOML -----------------------------------------------------------------------------------------------------


def _toml(text: str, file: str, above: int) -> dict[str, Any]:
    """``above``: lines of the file before ``text`` begins."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r" ?\(at (?:line (\d+), column \d+|end of document)\)", str(error))
        inner = int(found[1]) if found and found[1] else len(text.splitlines())
        message = str(error)[: found.start()] if found else str(error)
        raise RequirementsError(
            f"not valid TOML: {message}", code="requirements_syntax", file=file, line=above + inner
        ) from error
    except RecursionError as error:
        raise RequirementsError("is nested too deeply", file=file) from error


def _table(value: object, name: str, file: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RequirementsError(f"{name} must be a table", file=file)
    return value


def _strings(value: object, name: str, file: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise RequirementsError(f"{name} must be a list of strings", file=file)
    return [item.strip() for item in value if item.strip()]


def _specifier(table: dict[str, Any], file: str) -> str | None:
    value = table.get("requires-python")
    if value is not None and not isinstance(value, str):
        raise RequirementsError("requires-python must be a string", file=file)
    return value.strip() or None if value is not None else None


def _uv_table(values: dict[str, Any], file: str) -> dict[str, Any]:
    tool = _table(values.get("tool", {}), "tool", file)
    return _table(tool.get("uv", {}), "tool.uv", file)


def _take_local(lines: list[str], uv: dict[str, Any], files: LocalFiles, file: str) -> None:
    place = Place(file, None, None)
    for line in lines:
        target = re.search(r"@\s*(file:\S*)", line)
        if target is not None:
            files.take(target[1], place)
    for sources in _table(uv.get("sources", {}), "tool.uv.sources", file).values():
        for source in sources if isinstance(sources, list) else [sources]:
            if not isinstance(source, dict):
                continue  # uv says what is wrong with it
            if source.get("workspace"):
                files.take(".", place)
            elif isinstance(source.get("path"), str):
                files.take(source["path"], place)


def _made(
    kind: Kind, file: str, lines: list[str], python: str | None, files: LocalFiles, more: dict[str, Any]
) -> Requirements:
    value = {
        "format": _FORMAT,
        "kind": kind,
        "lines": sorted(lines) if kind != "requirements.txt" else lines,
        "python": python,
        "local": files.digests,
        **more,
    }
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return Requirements(kind, file, tuple(lines), python, tuple(files.digests), digest)
