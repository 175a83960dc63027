"""Keeps the traces of ended invocations, without ever making an invocation wait for the disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from dialback_invoker.store.batch import Batcher
from dialback_invoker.store.port import Store, Trace

_PRUNE_EVERY: Final = 1000  # traces


class Recorder:
    """`record` queues a trace; a task behind it stores them in batches and applies the retention now and then.

    A trace must not change after it was given. ``capacity`` traces may wait; what comes then is dropped and counted.
    """

    def __init__(
        self, store: Store, *, capacity: int = 4096, pause: float = 0.05, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._clock = clock
        self._since_prune = _PRUNE_EVERY  # the first batch prunes, for the retention may have changed
        self._batcher = Batcher(self._write, "invocation records", capacity=capacity, pause=pause)

    @property
    def dropped(self) -> int:
        """Traces that were not stored, since the start."""
        return self._batcher.dropped

    def start(self) -> None:
        """Begin to store; needs a running loop."""
        self._batcher.start()

    def record(self, trace: Trace) -> None:
        """Queue a trace; never waits and never fails."""
        self._batcher.put(trace)

    async def flush(self) -> None:
        """Return when everything recorded so far can be read from the store, or was dropped."""
        await self._batcher.flush()

    async def close(self) -> None:
        """Store what is queued, then stop."""
        await self._batcher.close()

    async def _write(self, traces: Sequence[Trace]) -> None:
        await self._store.add_invocations(traces)
        self._since_prune += len(traces)
        if self._since_prune >= _PRUNE_EVERY:
            self._since_prune = 0
            await self._store.prune(self._clock(), functions=())
