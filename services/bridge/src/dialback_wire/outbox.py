"""What a stream has still to send: bytes within their credit."""

from .flow import SendWindow

CRUMB = 2048
"""Pieces smaller than this many bytes are gathered, so that a million of them make no million objects."""

GATHERED = 64 * 1024
"""Bytes after which a new gathering begins."""


class Outbox:
    """Queued bytes of one direction of a stream. Small pieces are joined, large ones cut, without copying twice."""

    __slots__ = ("_gathering", "_offset", "_pieces", "queued", "window")

    def __init__(self, window: int) -> None:
        self.window = SendWindow(window)
        self.queued = 0
        # A list, because most streams have nothing queued most of the time: an empty deque takes 760 bytes.
        self._pieces: list[bytes | bytearray] = []
        self._offset = 0
        self._gathering: bytearray | None = None
        """The last piece, while small ones are added to it."""

    @property
    def sendable(self) -> int:
        """Bytes that could leave now."""
        window = self.window
        credit = window.limit - window.sent
        return self.queued if self.queued < credit else credit

    def put(self, data: bytes) -> None:
        """Queue `data`."""
        size = len(data)
        self.queued += size
        gathering = self._gathering
        if gathering is not None and size < CRUMB and len(gathering) < GATHERED:
            gathering += data
            return
        self._gathering = None
        pieces = self._pieces
        if size < CRUMB and pieces and len(last := pieces[-1]) < CRUMB:
            pieces[-1] = self._gathering = bytearray(last) + data
        else:
            pieces.append(data)

    def take(self, count: int) -> list[bytes | bytearray]:
        """`count` bytes, which are counted as sent. `count` is at most `sendable`."""
        self.queued -= count
        self.window.sent += count
        pieces = self._pieces
        if not self.queued:
            self._gathering = None
            if not self._offset:
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
        self._gathering = None
        self._offset = 0
        self.queued = 0
