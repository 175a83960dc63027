"""Function names: Lambda's grammar, checked before a name goes anywhere near a path or an address."""

from __future__ import annotations

import re
from difflib import get_close_matches

from dialback.errors import UsageProblem

LONGEST = 64
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*", re.ASCII)
_OTHER = re.compile(r"[^A-Za-z0-9_-]+")


def check_name(name: str, origin: str = "") -> str:
    """`name` when it is one, otherwise a UsageProblem; `origin` says where it came from."""
    where = f" ({origin})" if origin else ""
    if len(name) > LONGEST:
        raise UsageProblem(f"a function name has at most {LONGEST} characters, this one{where} has {len(name)}")
    if not _NAME.fullmatch(name):
        raise UsageProblem(
            f"{name!r}{where} is not a function name",
            hint="letters, digits, - and _ are allowed, and it does not begin with a -",
        )
    return name


def clean_name(text: str) -> str:
    """The name nearest to the name of a folder or file: other characters become one -; UsageProblem if none is left, or
    if it begins with a dash: it would look like a flag to every command.
    """
    if text.startswith("-"):
        raise UsageProblem(f"{text!r} begins with a -, which no function's name does", hint="give one with --name")
    name = _OTHER.sub("-", text).strip("-")[:LONGEST].rstrip("-")
    if not name:
        raise UsageProblem(f"no function name can be made of {text!r}", hint="give one with --name")
    return name


def did_you_mean(word: str, known: list[str] | tuple[str, ...]) -> str:
    """`did you mean 'port'?`, or what is known when nothing is near."""
    near = get_close_matches(word.replace("-", "_").lower(), known, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(sorted(known))
