"""Takes the values of secrets out of what a function printed. A net for accidents: whoever wants to can print a value
in another form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

SHORTEST: Final = 6
"""Characters; a shorter value would be found in innocent text."""


class Redactor:
    """The secret values of one function, former ones too: a worker of yesterday still prints yesterday's."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    def know(self, secrets: Mapping[str, str]) -> None:
        """Also take these out, whole and line by line, for output comes in lines."""
        for name, value in secrets.items():
            for text in (value, *value.splitlines()):
                if len(text.strip()) >= SHORTEST:
                    self._names[text.strip()] = name
        longest_first = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, text: str) -> str:
        """``text`` with ``[secret NAME]`` in the place of each value."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: f"[secret {self._names[found[0]]}]", text)
