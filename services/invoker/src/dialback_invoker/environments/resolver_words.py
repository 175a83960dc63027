"""What uv says, as a person should read it: without noise, credentials and folders that are gone, with a place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from dialback_invoker.environments.program import Finished
from dialback_invoker.errors import BuildFailed

_MOST_SHOWN: Final = 40  # lines of a failure
_LONGEST_SHOWN: Final = 6000  # characters of a failure
_NOISE = re.compile(r"Using (CPython|Python) .*|Creating virtual environment .*|Activate with: .*")
_USERINFO = re.compile(r"(?<=://)[^/\s@]+(?=@)")
_SECRET_PARAMETER = re.compile(r"(?i)([?&](?:[\w.-]*(?:token|key|secret|password|signature)[\w.-]*)=)[^&\s\"'`]+")
_PLACE = re.compile(r"`(?P<file>[\w.-]+)` at position (?P<position>\d+)|: (?P<named>[\w.-]+):(?P<line>\d+):\d+$", re.M)
_ASKED = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)\s*(?P<versions>([=<>!~]=?=?\s*[^\s;#,]+)?)")
"""A requirement, as a line of a requirements.txt begins."""


def is_noise(line: str) -> bool:
    """Whether a line tells what nobody asked."""
    return _NOISE.fullmatch(line) is not None


def cleaned(line: str, staging: Path) -> str:
    """Without credentials, and without the names of folders that are gone when somebody reads it."""
    for folder in (staging / "source", staging):
        line = line.replace(f"file://{folder}/", "").replace(f"{folder}/", "").replace(str(folder), ".")
    return _SECRET_PARAMETER.sub(r"\1***", _USERINFO.sub("***", line))


def failure(what: str, finished: Finished, staging: Path) -> BuildFailed:
    """The resolver's own words about ``what``, a file or what else was asked for, and the line if they name one.
    Blocks for a few reads.
    """
    lines = [cleaned(line, staging) for line in finished.said if not is_noise(line)]
    start = next((number for number, line in enumerate(lines) if re.match(r"error: |  ×", line)), 0)
    words = lines[start:]
    if len(words) > _MOST_SHOWN:
        words = [*words[: _MOST_SHOWN // 2], "...", *words[-_MOST_SHOWN // 2 :]]
    text = "\n".join(words)[:_LONGEST_SHOWN].removeprefix("error: ").strip()
    killed = f"uv was killed by signal {-finished.code}" if finished.code < 0 else f"uv ended with {finished.code}"
    line, source = _place(text, staging, what)
    if line is not None:
        text = re.sub(r" at position \d+", "", text)
    file = what if (staging / "source" / what).is_file() else None
    return BuildFailed(f"{what} cannot be installed: {text or killed}", file=file, line=line, source=source)


def _place(text: str, staging: Path, file: str) -> tuple[int | None, str | None]:
    """The line that a message is about, in the file as its author wrote it: what uv has read is our copy of it, with
    its includes in place and without comments.
    """
    found = _PLACE.search(text)
    try:
        written = (staging / "source" / file).read_text("utf-8-sig").splitlines()
        if found is None:
            return _named(text, written) if file.endswith(".txt") else (None, None)
        read = (staging / file).read_text()
    except (OSError, UnicodeDecodeError):
        return None, None
    if (found["file"] or found["named"]) != file:
        return None, None
    number = read.count("\n", 0, int(found["position"])) if found["position"] else int(found["line"]) - 1
    lines = read.splitlines()
    meant = lines[number].split(" ")[0] if number < len(lines) else ""
    for count, line in enumerate(written, start=1):
        if meant and line.strip().startswith(meant):
            return count, line.strip()[:200]
    return None, None


def _named(text: str, written: list[str]) -> tuple[int | None, str | None]:
    """The first line that asks for what the resolver speaks of: with these very versions, else with others."""
    said = "".join(text.split())
    by_name: tuple[int | None, str | None] = (None, None)
    for number, line in enumerate(written, start=1):
        asked = _ASKED.match(line.strip())
        if asked is None:
            continue
        name = re.sub(r"[-_.]+", "-", asked["name"]).lower()
        if asked["versions"] and name + "".join(asked["versions"].split()) in said:
            return number, line.strip()[:200]
        if by_name[0] is None and re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", text) is not None:
            by_name = number, line.strip()[:200]
    return by_name
