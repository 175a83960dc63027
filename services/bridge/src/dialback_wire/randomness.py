"""Random bytes from a reserve, because asking the system for every request's few costs more than all else about them.

The caller brings the source. What was given out is given to nobody else; what is still held is as secret as the tokens
that are made of it. A process that forks must make a new reserve, or both would give out the same bytes.
"""

from collections.abc import Callable

BLOCK = 4096
"""How many bytes are asked of the source at once."""


class Randomness:
    """Called with a number of bytes, as `os.urandom`, which is the source to give it."""

    __slots__ = ("_at", "_block", "_source")

    def __init__(self, source: Callable[[int], bytes]) -> None:
        self._source = source
        self._block = b""
        self._at = 0

    def __call__(self, count: int) -> bytes:
        """`count` random bytes."""
        at = self._at
        end = at + count
        if end > len(self._block):
            if count > BLOCK:
                return self._source(count)
            self._block, at, end = self._source(BLOCK), 0, count
        self._at = end
        return self._block[at:end]
