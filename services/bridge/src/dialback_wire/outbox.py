"""What a stream has still to send: bytes within their credit."""

from collections import deque

from .flow import SendWindow


class Outbox:
    """Queued bytes of one direction of a stream. Small pieces are joined, large ones cut, without copying twice."""

    __slots__ = ("_offset", "_pieces", "queued", "window")

    def __init__(self, window: int) -> None:
        self.window = SendWindow(window)
        self.queued = 0
        self._pieces: deque[bytes] = deque()
        self._offset = 0

    @property
    def sendable(self) -> int:
        """Bytes that could leave now."""
        window = self.window
        credit = window.limit - window.sent
        return self.queued if self.queued < credit else credit

    def put(self, data: bytes) -> None:
        """Queue `data`."""
        self._pieces.append(data)
        self.queued += len(data)

    def take(self, count: int) -> list[bytes]:
        """`count` bytes, which are counted as sent. `count` is at most `sendable`."""
        parts = []
        left = count
        while left:
            piece = self._pieces[0]
            end = self._offset + left
            if end < len(piece):
                parts.append(piece[self._offset : end])
                self._offset = end
                break
            parts.append(piece[self._offset :] if self._offset else piece)
            left -= len(piece) - self._offset
            self._pieces.popleft()
            self._offset = 0
        self.queued -= count
        self.window.sent += count
        return parts

    def drop(self) -> None:
        """Forget what is queued."""
        self._pieces.clear()
        self._offset = 0
        self.queued = 0
