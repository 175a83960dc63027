"""Credit: how many bytes a side may send on a stream, and how a receiver hands it out.

Offsets are absolute and count the bytes of DATA in one direction of one stream. What was sent and is not yet consumed
is at most one window, so the window is also all that a sender would have to keep to send it again.
"""

from .errors import StreamViolation


class Budget:
    """Bytes of window, above what every stream starts with, that the streams of a process share.

    The memory that windows can cost is thus bounded by `streams x initial window + budget`.
    """

    __slots__ = ("free", "total")

    def __init__(self, total: int = 64 * 1024 * 1024) -> None:
        self.total = total
        self.free = total

    def take(self, amount: int) -> bool:
        """Take `amount` bytes, if that many are free."""
        if amount > self.free:
            return False
        self.free -= amount
        return True

    def give_back(self, amount: int) -> None:
        """Return bytes that were taken."""
        self.free += amount


class SendWindow:
    """What the other side lets us send."""

    __slots__ = ("acknowledged", "limit", "sent")

    def __init__(self, initial: int) -> None:
        self.limit = initial
        self.sent = 0
        self.acknowledged = 0
        """The other side has consumed everything before this offset; it will never ask for it again."""

    @property
    def credit(self) -> int:
        """Bytes that may be sent now."""
        return self.limit - self.sent

    def update(self, consumed: int, limit: int) -> None:
        """A WINDOW frame came. Limits never shrink; a late, smaller one is passed over. Raises StreamViolation."""
        if consumed > self.sent or consumed > limit:
            raise StreamViolation(f"WINDOW acknowledges {consumed} bytes, {self.sent} were sent")
        self.acknowledged = max(self.acknowledged, consumed)
        self.limit = max(self.limit, limit)


class ReceiveWindow:
    """What we let the other side send.

    A window grows when a frame ended just where the credit did that its sender knew (the present limit, or the one
    before it, when the last WINDOW was still on its way) and the reader has nothing left to read: then the window was
    what held the stream back. A slow reader's window therefore stays small.
    """

    __slots__ = ("_budget", "_initial", "_maximum", "_previous", "consumed", "limit", "received", "size")

    def __init__(self, initial: int, maximum: int, budget: Budget) -> None:
        self._initial = initial
        self._maximum = maximum
        self._budget = budget
        self.size = initial
        self.limit = initial
        self._previous = initial
        self.received = 0
        self.consumed = 0

    def receive(self, count: int) -> None:
        """`count` bytes came. Raises StreamViolation when there was no credit for them."""
        self.received += count
        if self.received > self.limit:
            raise StreamViolation(f"{self.received - self.limit} bytes more than the window allows")

    def consume(self, count: int) -> bool:
        """`count` bytes have gone on. Returns whether a WINDOW frame is due now.

        Raises ValueError when more is consumed than has come.
        """
        if self.consumed + count > self.received:
            raise ValueError(f"{self.consumed + count} bytes consumed, {self.received} received")
        self.consumed += count
        if self.consumed == self.received and self.received in (self.limit, self._previous):
            self._grow()
        if self.consumed + self.size - self.limit < self.size // 2:
            return False
        self._previous, self.limit = self.limit, self.consumed + self.size
        return True

    def _grow(self) -> None:
        wanted = min(self.size * 2, self._maximum)
        if wanted > self.size and self._budget.take(wanted - self.size):
            self.size = wanted

    def close(self) -> None:
        """Give what was taken back to the budget. What is consumed afterwards takes nothing any more."""
        self._budget.give_back(self.size - self._initial)
        self.size = self._maximum = self._initial
