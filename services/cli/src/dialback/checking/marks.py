"""The marks of the probe function, read out of a body as it comes.

dialback-mark 3/10 1700000000.123456 <random text> <CRC-32 of what stands before the last space>
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Final

PROBE_HEADER: Final = "dialback-probe"
LONGEST: Final = 256 * 1024
"""Bytes without a line end after which a body is taken to have no marks."""
_MARK: Final = re.compile(rb"(dialback-mark (\d+)/(\d+) (\d+\.\d+) \S+) ([0-9a-f]{8})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Mark:
    """One chunk. `sent` is by the function's clock, `at` by ours, both in seconds; `whole`: its bytes add up."""

    index: int
    count: int
    sent: float
    at: float
    whole: bool


class MarkReader:
    """Feed it the body; it keeps the marks."""

    def __init__(self) -> None:
        self.marks: list[Mark] = []
        self.strange = 0
        """Lines that are no mark and not empty."""
        self._rest = b""

    def feed(self, data: bytes, at: float) -> None:
        """`data` came `at` this moment."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST:
            self.strange += 1
            self._rest = b""
        for line in lines:
            found = _MARK.search(line)
            if found is not None:
                whole = zlib.crc32(found[1]) == int(found[5], 16)
                self.marks.append(Mark(int(found[2]), int(found[3]), float(found[4]), at, whole))
            elif line.strip():
                self.strange += 1
