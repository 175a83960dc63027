"""The memory that sockets are read into."""

SIZE = 256 * 1024
"""Bytes that are read at once."""

SMALL = 4 * 1024
"""So many bytes are sooner copied in one piece than looked at through a view."""


class ReadBuffer:
    """One for all sockets of a loop: what was read is taken out of it before the loop goes on.

    asyncio's usual protocol gets a new object for every read instead, and what is large is copied once more for it.
    """

    __slots__ = ("memory",)

    def __init__(self) -> None:
        self.memory = memoryview(bytearray(SIZE))
        """Where the next bytes go."""

    def came(self, count: int) -> bytes | memoryview:
        """The first `count` bytes, to be used up before the next read."""
        part = self.memory[:count]
        return bytes(part) if count <= SMALL else part
