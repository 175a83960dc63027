"""The memory watch: who is over, and who is only many processes that share."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.invoker.workers.conftest import within

from dialback_invoker.launchers import memory, proc
from dialback_invoker.launchers.memory import MemoryWatch, Watched, sample


def nobody(_: int) -> None: ...


def test_one_process_is_measured_by_its_resident_size() -> None:
    watched = Watched(os.getpid(), 1, nobody)
    assert sample((watched,), walk=False) == [(watched, watched.measure())]
    assert sample((Watched(os.getpid(), 1 << 40, nobody),), walk=True) == []


def test_shared_pages_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "resident", lambda pid: 100)
    monkeypatch.setattr(proc, "proportional", lambda pid: 40)
    assert Watched(1, 150, nobody, members=lambda: [1, 2]).measure() == 80
    assert Watched(1, 250, nobody, members=lambda: [1, 2]).measure() == 200
    assert Watched(1, 50, nobody).measure() == 100


async def test_who_is_over_is_told_once_and_the_watch_ends_with_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "INTERVAL", 0.001)
    told: list[int] = []
    twice = asyncio.Event()
    with ThreadPoolExecutor(1) as executor:
        watch = MemoryWatch(executor)
        over = Watched(os.getpid(), 1, told.append)
        looked = 0

        def members() -> list[int]:
            nonlocal looked
            looked += 1
            if looked > 3:
                loop.call_soon_threadsafe(twice.set)
            return [os.getpid()]

        loop = asyncio.get_running_loop()
        fine = Watched(os.getpid(), 1 << 40, nobody, members)
        watch.add(over)
        watch.add(fine)
        await within(twice.wait())
        assert len(told) == 1
        watch.discard(over)
        watch.discard(fine)
        watch.discard(fine)
    assert len(asyncio.all_tasks()) <= 2
