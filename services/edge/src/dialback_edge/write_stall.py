"""Clients that stop reading."""


class WriteStall:
    """Notices that bytes wait for a client and that it has taken none of them for too long."""

    __slots__ = ("_deadline", "_limit", "_sent", "written")

    def __init__(self, limit: float) -> None:
        self.written = 0
        """Bytes that were handed to the transport so far."""
        self._limit = limit
        self._sent = 0
        self._deadline = 0.0

    def check(self, now: float, waiting: int) -> bool:
        """Whether the limit (seconds; 0: none) has passed without progress, `waiting` bytes being unsent at `now`."""
        if not waiting or not self._limit:
            self._deadline = 0.0
            return False
        sent = self.written - waiting
        if sent != self._sent or not self._deadline:
            self._sent = sent
            self._deadline = now + self._limit
        return now > self._deadline
