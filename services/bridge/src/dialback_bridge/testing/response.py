"""A response as a test sees it: whole, or while it comes."""

from __future__ import annotations

import json
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from dialback_wire.messages import Verdict

from ..headers import Headers
from .loop_thread import LoopThread
from .played_platform import PlayedPlatform

T = TypeVar("T")


@dataclass(frozen=True)
class Chunk:
    """A part of the body, as one `write` or item of the function, or some of them, came. `at`: seconds since the
    request.
    """

    data: bytes
    at: float


class StreamedResponse:
    """A response under way. What is not read makes the function pause, as soon as its window is full.

    Every wait is bounded by the client's `timeout` and raises TimeoutError. As a context manager it leaves at the end
    of the block, if it has not been read to its end, and waits until the function has noticed.
    """

    def __init__(self, platform: PlayedPlatform, thread: LoopThread, timeout: float) -> None:
        self._platform = platform
        self._thread = thread
        self._timeout = timeout
        self._left = False
        self.chunks: list[Chunk] = []
        """What was read until now."""

    def __enter__(self) -> StreamedResponse:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._platform.over:
            self.leave()
        if kind is None:
            self.wait_over()

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._thread.call(coroutine, self._timeout)

    # --- the head -----------------------------------------------------------------------------------------------------

    @property
    def status(self) -> int:
        """The status. A function that failed before its head has the one that the client would get: 500, 502, 504."""
        self._await_head()
        platform = self._platform
        if platform.head is not None:
            return platform.head.status
        if platform.invalid:
            return 502
        return platform.end.status or 502 if platform.end is not None else 502

    @property
    def headers(self) -> Headers:
        """The head's fields; none when the function failed before it."""
        self._await_head()
        head = self._platform.head
        return Headers.of(head.fields if head is not None else ())

    @property
    def trailers(self) -> Headers:
        """The fields behind the body."""
        self.wait_over()
        return Headers.of(self._platform.trailers)

    @property
    def interim(self) -> list[tuple[int, Headers]]:
        """The responses with a status of 1xx that came."""
        return [(info.status, Headers.of(info.fields)) for info in self._platform.infos]

    def _await_head(self) -> None:
        if not self._has_head:
            self._call(self._until_head())

    @property
    def _has_head(self) -> bool:
        platform = self._platform
        return platform.head is not None or platform.over or bool(platform.invalid)

    async def _until_head(self) -> None:
        while not self._has_head:
            await self._platform.changed.wait()

    # --- the body -----------------------------------------------------------------------------------------------------

    def read_chunk(self) -> Chunk | None:
        """The next part of the body; None when there is none to come."""
        chunk = self._call(self._next())
        if chunk is not None:
            self.chunks.append(chunk)
        return chunk

    async def _next(self) -> Chunk | None:
        platform = self._platform
        taken = len(self.chunks)
        while len(platform.arrived) <= taken:
            if platform.over or self._left:
                return None
            await platform.changed.wait()
        data, at = platform.arrived[taken]
        platform.consumed(len(data))
        return Chunk(data, at)

    def __iter__(self) -> Iterator[Chunk]:
        while (chunk := self.read_chunk()) is not None:
            yield chunk

    def read(self, rate: float | None = None) -> bytes:
        """The rest of the body; all of it is in `body`. `rate`: read so many bytes a second and no faster."""
        begun, size = time.monotonic(), 0
        rest = []
        for chunk in self:
            rest.append(chunk.data)
            size += len(chunk.data)
            if rate is not None:
                time.sleep(max(0.0, begun + size / rate - time.monotonic()))
        return b"".join(rest)

    @property
    def body(self) -> bytes:
        """What was read until now; of a whole response all of it."""
        return b"".join(chunk.data for chunk in self.chunks)

    @property
    def text(self) -> str:
        """The same, as UTF-8."""
        return self.body.decode()

    def json(self) -> Any:
        """The same, as JSON."""
        return json.loads(self.body)

    @property
    def waiting(self) -> int:
        """Bytes that have come and were not read."""
        return sum(len(data) for data, _ in self._platform.arrived[len(self.chunks) :])

    # --- the end ------------------------------------------------------------------------------------------------------

    def leave(self) -> None:
        """Go away, as a client that closes its connection."""
        self._left = True
        self._thread.loop.call_soon_threadsafe(self._platform.leave)

    def cut(self) -> None:
        """Break the connection between the function and the platform."""
        self._left = True
        self._thread.loop.call_soon_threadsafe(self._platform.cut)

    def wait_over(self) -> str:
        """Wait until the function, and all that it left to `wait_until`, is over; returns the `verdict`.

        What was not read by then does not come any more: a function whose window is full is never over.
        """
        if self._platform.answer is None:
            self._call(self._until_over())
        return self.verdict

    async def _until_over(self) -> None:
        while self._platform.answer is None:
            await self._platform.changed.wait()

    @property
    def verdict(self) -> str:
        """How it ended: "ok", "error" (the function failed), "cancelled" (the client left), "truncated" (less came than
        was announced, or the connection broke), "timeout"; empty while it goes on.
        """
        platform = self._platform
        if platform.invalid:
            return "error"
        if platform.end is None:
            return "truncated" if platform.lost else ""
        if platform.end.verdict is Verdict.OK and platform.is_short:
            return "truncated"
        if platform.end.verdict is Verdict.CANCELLED and platform.is_bodyless:
            return "ok"
        return platform.end.verdict.name.lower()

    @property
    def detail(self) -> str:
        """What went wrong, as far as the platform is told: for an exception its type and text."""
        platform = self._platform
        return platform.invalid or (platform.end.detail if platform.end is not None else "")

    @property
    def complete(self) -> bool:
        """Whether all of it came and ended as it should."""
        return self.verdict == "ok"

    def __repr__(self) -> str:
        return f"<StreamedResponse {self.verdict or 'under way'}, {len(self.chunks)} chunks read>"
