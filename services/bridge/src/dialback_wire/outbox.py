"""What a stream has still to send: bytes within their credit."""

from .flow import SendWindow

CRUMB = 2048
"""Pieces smaller than this many bytes are gathered, so that a million of them make no million objects."""

GATHERED = 64 * 1024
"""Bytes after which a new gathering begins."""


class Outbox:
    """Queued bytes of one direction of a stream. Small pieces are joined, large ones cut, without copying twice."""

    __slots__ = ("_offset", "_pieces", "queued", "window")

    def __init__(self, window: int) -> None:
        self.window = SendWindow(window)
        self.queued = 0
        # A list, because most streams have nothing queued most of the time: an empty deque takes 760 bytes.
        self._pieces: list[bytes | bytearray] = []
        self._offset = 0

    @property
    def sendable(self) -> int:
        """Bytes that could leave now."""
        window = self.window
        credit = window.limit - window.sent
        return self.queued if self.queued < credit else credit

    def put(self, data: bytes) -> None:
        """Queue `data`."""
        pieces = self._pieces
        size = len(data)
        self.queued += size
        if size < CRUMB and pieces:
            last = pieces[-1]
            if isinstance(last, bytearray):
                if len(last) < GATHERED:
                    last += data
                    return
            elif len(last) < CRUMB:
                pieces[-1] = bytearray(last) + data
                return
        pieces.append(data)

    def take(self, count: int) -> list[bytes | bytearray]:
        """`count` bytes, which are counted as sent. `count` is at most `sendable`."""
        self.queued -= count
        self.window.sent += count
        pieces = self._pieces
        if not self.queued and not self._offset:
            self._pieces = []
            return pieces
        parts = []
        whole = 0
        left = count
        while left:
            piece = pieces[whole]
            end = self._offset + left
            if end < len(piece):
                parts.append(piece[self._offset : end])
                self._offset = end
                break
            parts.append(piece[self._offset :] if self._offset else piece)
            left -= len(piece) - self._offset
            whole += 1
            self._offset = 0
        del pieces[:whole]
        return parts

    def drop(self) -> None:
        """Forget what is queued."""
        self._pieces.clear()
        self._offset = 0
        self.queued = 0
