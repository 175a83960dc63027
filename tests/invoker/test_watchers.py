"""Who watches is told what happens, within bounds; who does not watch costs nothing."""

import asyncio

import pytest

from dialback_invoker.errors import Overloaded
from dialback_invoker.store.port import LogLine
from dialback_invoker.watchers import MOST_ENDED, MOST_LINES, Watchers


def line(seq: int) -> LogLine:
    return LogLine(seq, 1.0, "chat", "w_1", "", "stdout", "INFO", f"line {seq}")


async def test_news_is_told_to_everybody_once() -> None:
    watchers = Watchers()
    assert not watchers
    watchers.ended({"id": "before"})
    one, other = watchers.join(), watchers.join()
    assert watchers
    assert one.take().workers, "a new watcher looks at the workers"
    watchers.ended({"id": "a"})
    watchers.line(line(1))
    watchers.worker_changed()
    for watcher in (one, other):
        await asyncio.wait_for(watcher.wait(60), 5)
        news = watcher.take()
        assert ([trace["id"] for trace in news.ended], [found.seq for found in news.lines]) == (["a"], [1])
        assert news.workers
        again = watcher.take()
        assert (again.ended, again.lines, again.workers) == ([], [], False)
    watchers.leave(one)
    watchers.leave(one)
    watchers.leave(other)
    assert not watchers


async def test_a_slow_watcher_misses_the_oldest_and_is_told_how_many() -> None:
    watchers = Watchers()
    watcher = watchers.join()
    for number in range(MOST_ENDED + 7):
        watchers.ended({"id": str(number)})
    for number in range(MOST_LINES + 3):
        watchers.line(line(number))
    news = watcher.take()
    assert (len(news.ended), news.ended_missed, news.ended[0]["id"]) == (MOST_ENDED, 7, "7")
    assert (len(news.lines), news.lines_missed, news.lines[-1].seq) == (MOST_LINES, 3, MOST_LINES + 2)
    assert watcher.take().ended_missed == 0


async def test_waiting_ends_by_itself_and_at_a_close_and_nobody_joins_after_it() -> None:
    watchers = Watchers(most=1)
    watcher = watchers.join()
    await watcher.wait(0.001)
    with pytest.raises(Overloaded, match="1 already watch"):
        watchers.join()
    watchers.close()
    await asyncio.wait_for(watcher.wait(60), 5)
    assert watcher.closed
    watcher.take()
    await asyncio.wait_for(watcher.wait(60), 5)
    watchers.leave(watcher)
    with pytest.raises(Overloaded, match="stopping"):
        watchers.join()
