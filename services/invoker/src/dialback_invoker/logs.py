"""What functions print: appended without waiting, kept with retention, followed live.

Worker output is hostile: lines are cut to 8 KiB and control characters are escaped, so that no line can pass for two or
move a terminal's cursor. Under a flood lines are dropped, and a line of the platform's own says how many.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final

from dialback_invoker.names import name_key
from dialback_invoker.store.batch import Batcher
from dialback_invoker.store.port import LogLine, Store

LONGEST_LINE: Final = 8192  # bytes of UTF-8, the escapes included
_CUT: Final = " [cut]"
_FOLLOWER_LINES: Final = 2048
_PRUNE_EVERY: Final = 1000  # lines of one function

# C0 and C1 controls but the tab, line and paragraph separators, what turns the direction of text, lone surrogates
_UNSAFE: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def safe_line(text: str) -> str:
    """``text`` as one printable line: controls as ``\\x1b`` or ``\\u2028``, at most `LONGEST_LINE` bytes."""
    cut = len(text) > LONGEST_LINE
    text = text[:LONGEST_LINE]
    if not text.isprintable():
        text = _UNSAFE.sub(_escape, text)
    encoded = text.encode()
    if cut or len(encoded) > LONGEST_LINE:
        text = encoded[: LONGEST_LINE - len(_CUT)].decode("utf-8", "ignore") + _CUT
    return text


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class LogBook:
    """Lines of all functions. `append` from the event loop's thread; `start` before, `close` after."""

    def __init__(
        self, store: Store, *, capacity: int = 8192, pause: float = 0.05, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._clock = clock
        self._seq = 0
        self._batcher: Batcher[LogLine] = Batcher(self._write, "log lines", capacity=capacity, pause=pause)
        self._followers: dict[str, set[asyncio.Queue[LogLine | None]]] = defaultdict(set)
        self._listeners: list[Callable[[LogLine], None]] = []
        self._dropped: Counter[str] = Counter()  # per function, not yet reported
        self._unpruned: Counter[str] = Counter()
        self._closed = False

    @property
    def dropped(self) -> int:
        """Lines that were not stored, since the start."""
        return self._batcher.dropped

    def listen(self, on_line: Callable[[LogLine], None]) -> None:
        """Be told of every line of every function; ``on_line`` neither waits nor raises."""
        self._listeners.append(on_line)

    async def start(self) -> None:
        """Begin to store, after the last line of the run before."""
        self._seq = max(self._seq, await self._store.last_log_seq())
        self._batcher.start()

    def append(
        self,
        function: str,
        line: str,
        *,
        worker: str = "",
        invocation: str = "",
        stream: str = "stdout",
        level: str = "INFO",
        at: float | None = None,
    ) -> None:
        """Take a line, ``at`` being Unix seconds (default: now); never waits and never fails."""
        lost = self._dropped[function] if self._dropped else 0
        if lost and not self._batcher.full:
            del self._dropped[function]
            self._take(function, f"{lost} lines were dropped", "", "", "platform", "WARNING", at)
        if not self._take(function, safe_line(line), worker, invocation, stream, level, at):
            self._dropped[function] += 1

    async def read(
        self, function: str, *, since: float = 0.0, limit: int = 1000, invocation: str = ""
    ) -> list[LogLine]:
        """The last ``limit`` lines written at or after ``since`` (Unix seconds), oldest first, queued ones too; those
        of one ``invocation`` if it is named.
        """
        await self._batcher.flush()
        return await self._store.logs(function, since, limit, invocation)

    async def recent(self, limit: int) -> list[LogLine]:
        """The last ``limit`` lines of all functions, oldest first, queued ones too."""
        await self._batcher.flush()
        return await self._store.recent_logs(limit)

    async def follow(self, function: str, *, since: float = 0.0, limit: int = 1000) -> AsyncGenerator[LogLine, None]:
        """What `read` gives, then each line as it comes, without a gap or a repeat, until `close`.

        A follower that does not keep up misses lines. Close the iterator (``aclose``) to stop following.
        """
        queue: asyncio.Queue[LogLine | None] = asyncio.Queue(_FOLLOWER_LINES)
        key = name_key(function)
        self._followers[key].add(queue)
        try:
            last = 0
            for line in await self.read(function, since=since, limit=limit):
                last = line.seq
                yield line
            while not (self._closed and queue.empty()) and (found := await queue.get()) is not None:
                if found.seq > last:
                    yield found
        finally:
            self._followers[key].discard(queue)
            if not self._followers[key]:
                del self._followers[key]

    def end_followers(self) -> None:
        """Let every `follow` come to its end, after the lines that it was given already, and take no new ones."""
        self._closed = True
        for queues in self._followers.values():
            for queue in queues:
                if queue.full():
                    queue.get_nowait()
                queue.put_nowait(None)

    async def close(self) -> None:
        """Store what is queued and end all followers."""
        self.end_followers()
        await self._batcher.close()

    def _take(
        self, function: str, text: str, worker: str, invocation: str, stream: str, level: str, at: float | None
    ) -> bool:
        when = self._clock() if at is None else at
        line = LogLine(
            self._seq + 1, when, function, worker, safe_line(invocation), safe_line(stream), safe_line(level), text
        )
        if not self._batcher.put(line):
            return False
        self._seq += 1
        for queue in self._followers.get(name_key(function), ()):
            if not queue.full():
                queue.put_nowait(line)
        for on_line in self._listeners:
            on_line(line)
        return True

    async def _write(self, lines: Sequence[LogLine]) -> None:
        await self._store.add_logs(lines)
        self._unpruned.update(line.function for line in lines)
        ripe = [function for function, count in self._unpruned.items() if count >= _PRUNE_EVERY]
        if ripe:
            await self._store.prune(self._clock(), ripe)
            for function in ripe:
                del self._unpruned[function]
