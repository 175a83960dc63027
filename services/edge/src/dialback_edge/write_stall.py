"""Clients that stop reading."""


class WriteStall:
    """Notices that bytes wait for a client and that it has taken none of them for too long."""

    __slots__ = ("_deadline", "_limit", "_sent")

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._sent = 0
        self._deadline = 0.0

    def check(self, now: float, written: int, waiting: int) -> bool:
        """Whether the limit (seconds; 0: none) passed without progress, `waiting` of `written` bytes being unsent."""
        if not waiting or not self._limit:
            self._deadline = 0.0
            return False
        sent = written - waiting
        if sent != self._sent or not self._deadline:
            self._sent = sent
            self._deadline = now + self._limit
        return now > self._deadline
