"""How long a client has held its response back, by reading more slowly than its worker writes."""


class Blockage:
    """Times are the seconds of one monotonic clock."""

    __slots__ = ("_before", "_since")

    def __init__(self) -> None:
        self._before = 0.0
        self._since: float | None = None

    @property
    def lasts(self) -> bool:
        """Whether it is the client that holds the stream back."""
        return self._since is not None

    def begin(self, now: float) -> None:
        """The client has not room for what was written. Only the first call counts."""
        if self._since is None:
            self._since = now

    def end(self, now: float) -> None:
        """It has room again."""
        if self._since is not None:
            self._before += now - self._since
            self._since = None

    def seconds(self, now: float) -> float:
        """All of it, until `now`."""
        return self._before if self._since is None else self._before + now - self._since
