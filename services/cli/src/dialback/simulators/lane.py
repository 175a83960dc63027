"""One direction of a simulated connection: a delay line with a bound, and a writer that keeps to a rate."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

READ: Final = 16 * 1024
IN_FLIGHT: Final = 256 * 1024
"""Bytes that may be on their way; more is not read, as a full network would not take it."""
TICK: Final = 0.05
"""Seconds: a slow reader reads this often."""


class Reset(Exception):
    """A connection broke, on one side or by our own doing."""


class Lane:
    """Moves bytes from `reader` to `writer` until one of both ends.

    `change` sees what was read and says what goes on, `last` what goes on at the end. `delay` is in seconds, `rate` in
    bytes a second. `most`: Reset after so many bytes.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        change: Callable[[bytes], bytes] = bytes,
        last: Callable[[], bytes] = bytes,
        delay: float = 0.0,
        rate: float | None = None,
        most: int | None = None,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._change = change
        self._last = last
        self._delay = delay
        self._rate = rate
        self._left = most
        self._line: deque[tuple[float, bytes | None]] = deque()
        self._waiting = 0
        self._moved = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    async def run(self) -> None:
        """Returns when all was written after the reader's end. Raises Reset."""
        taking = asyncio.create_task(self._take())
        giving = asyncio.create_task(self._give())
        try:
            done, _ = await asyncio.wait((taking, giving), return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        except (OSError, ConnectionError) as broken:
            raise Reset from broken
        finally:
            for task in (taking, giving):
                task.cancel()
            await asyncio.gather(taking, giving, return_exceptions=True)

    async def _take(self) -> None:
        while data := await self._reader.read(READ):
            self._put(self._change(data))
            await self._room.wait()
        self._put(self._last())
        self._line.append((self._due(), None))
        self._moved.set()

    def _put(self, data: bytes) -> None:
        if data:
            self._line.append((self._due(), data))
            self._waiting += len(data)
            if self._waiting >= IN_FLIGHT:
                self._room.clear()
            self._moved.set()

    def _due(self) -> float:
        return asyncio.get_running_loop().time() + self._delay

    async def _give(self) -> None:
        while True:
            while not self._line:
                self._moved.clear()
                await self._moved.wait()
            due, data = self._line.popleft()
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            if data is None:
                return
            await self._write(data)
            self._waiting -= len(data)
            if self._waiting < IN_FLIGHT:
                self._room.set()

    async def _write(self, data: bytes) -> None:
        step = len(data) if self._rate is None else max(1, int(self._rate * TICK))
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            if self._left is not None:
                piece = piece[: self._left]
                self._left -= len(piece)
            self._writer.write(piece)
            await self._writer.drain()
            if self._left == 0:
                raise Reset
            if self._rate is not None:
                await asyncio.sleep(len(piece) / self._rate)
