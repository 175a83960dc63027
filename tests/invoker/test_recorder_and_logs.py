"""Recording and logging never make a request wait: bounded, batched, and what is dropped is counted."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest

from dialback_invoker.errors import DiskFull
from dialback_invoker.logs import LONGEST_LINE, LogBook, safe_line
from dialback_invoker.recorder import Recorder
from dialback_invoker.store.batch import Batcher
from dialback_invoker.store.port import Retention
from dialback_invoker.store.sqlite import SqliteStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = await SqliteStore.open(tmp_path / "dialback.db", Retention(invocations=1500, log_lines=1000))
    yield made
    await made.close()


def trace(number: int) -> dict[str, object]:
    return {"id": f"{number:026d}", "function": "chat", "received_at": 1000.0 + number, "status": 200}


async def test_what_was_recorded_is_stored_after_a_flush(store: SqliteStore) -> None:
    recorder = Recorder(store, clock=lambda: 3000.0)
    recorder.record(trace(1))
    recorder.start()
    recorder.start()
    recorder.record(trace(2))
    await recorder.flush()
    assert len(await store.invocations()) == 2
    recorder.record(trace(3))
    await recorder.close()
    await recorder.close()
    assert len(await store.invocations()) == 3
    assert recorder.dropped == 0


async def test_the_recorder_applies_the_retention_as_it_goes(store: SqliteStore) -> None:
    recorder = Recorder(store, pause=0, clock=lambda: 3000.0)
    recorder.start()
    for number in range(3000):
        recorder.record(trace(number))
    await recorder.close()
    assert len(await store.invocations(limit=5000)) < 3000


async def test_a_recorder_that_is_full_drops_and_counts(store: SqliteStore) -> None:
    recorder = Recorder(store, capacity=2)
    for number in range(5):
        recorder.record(trace(number))
    assert recorder.dropped == 3
    await recorder.flush()  # not started: returns at once


async def test_a_store_that_fails_costs_records_but_no_request(caplog: pytest.LogCaptureFixture) -> None:
    works = False
    written: list[int] = []

    async def write(things: Sequence[int]) -> None:
        if not works:
            raise DiskFull("no space left on the disk")
        written.extend(things)

    batcher: Batcher[int] = Batcher(write, "numbers", batch=2, pause=0)
    batcher.start()
    for number in range(4):
        batcher.put(number)
    await batcher.flush()
    assert batcher.dropped == 4
    assert caplog.text.count("numbers are dropped until the store works again") == 1
    works = True
    batcher.put(9)
    await batcher.close()
    assert written == [9]


async def test_a_flush_does_not_wait_for_what_comes_after_it() -> None:
    gate = asyncio.Event()
    entered = asyncio.Event()

    async def write(things: Sequence[int]) -> None:
        entered.set()
        await gate.wait()

    batcher: Batcher[int] = Batcher(write, "numbers", batch=1, pause=3600)
    batcher.start()
    batcher.put(1)
    await entered.wait()
    flush = asyncio.create_task(batcher.flush())
    abandoned = asyncio.create_task(batcher.flush())
    await asyncio.wait({flush, abandoned}, timeout=0)
    abandoned.cancel()
    gate.set()
    await asyncio.wait_for(flush, 30)
    batcher.put(2)
    await asyncio.wait_for(batcher.close(), 30)  # the pause of an hour does not hold up a flush


def test_a_printed_line_cannot_pass_for_two_or_move_the_cursor() -> None:
    forged = 'a\n{"level":"ERROR"}\r\x1b[2J\x00\x9b\u2028\u202e\tö🙂'
    assert safe_line(forged) == 'a\\x0a{"level":"ERROR"}\\x0d\\x1b[2J\\x00\\x9b\\u2028\\u202e\tö🙂'
    assert safe_line("\ud800") == "\\ud800"


@pytest.mark.parametrize("text", ["x" * 100_000, "ö" * 6000, "\x00" * 8000])
def test_a_long_line_is_cut(text: str) -> None:
    cut = safe_line(text)
    assert len(cut.encode()) <= LONGEST_LINE
    assert cut.endswith(" [cut]")
    assert safe_line("y" * LONGEST_LINE) == "y" * LONGEST_LINE


async def test_lines_are_kept_with_who_wrote_them(store: SqliteStore) -> None:
    book = LogBook(store, clock=lambda: 7.0)
    await book.start()
    book.append("chat", "one", worker="w_1", invocation="i", stream="stderr", level="ERROR", at=5.0)
    book.append("chat", "two\x1b")
    found = await book.read("CHAT")
    assert [(n.at, n.line, n.stream) for n in found] == [(5.0, "one", "stderr"), (7.0, "two\\x1b", "stdout")]
    assert (found[0].worker, found[0].invocation, found[0].level) == ("w_1", "i", "ERROR")
    assert [n.line for n in await book.read("chat", since=6.0)] == ["two\\x1b"]
    await book.close()
    again = LogBook(store)
    await again.start()
    again.append("chat", "three")
    assert [n.seq for n in await again.read("chat")] == [1, 2, 3]
    await again.close()


async def test_a_flood_is_cut_and_says_how_much_was_lost(store: SqliteStore) -> None:
    book = LogBook(store, capacity=3)
    for number in range(10):
        book.append("chat", str(number))
    await book.start()
    await book.read("chat")
    book.append("chat", "after")
    assert [n.line for n in await book.read("chat")] == ["0", "1", "2", "7 lines were dropped", "after"]
    assert book.dropped == 7
    await book.close()


async def test_following_gives_the_past_then_each_line_once(store: SqliteStore) -> None:
    book = LogBook(store)
    await book.start()
    book.append("chat", "past")
    async with aclosing(book.follow("Chat")) as lines:
        assert (await anext(lines)).line == "past"
        book.append("chat", "queued while the past was read")
        book.append("other", "not mine")
        assert (await anext(lines)).line == "queued while the past was read"
        waiting = asyncio.ensure_future(anext(lines))
        await asyncio.wait({waiting}, timeout=0)
        book.append("CHAT", "live")
        assert (await asyncio.wait_for(waiting, 30)).line == "live"
    assert not book._followers
    await book.close()


async def test_a_line_that_comes_while_the_past_is_read_is_not_repeated(store: SqliteStore) -> None:
    book = LogBook(store)
    await book.start()
    async with aclosing(book.follow("chat")) as lines:
        first = asyncio.ensure_future(anext(lines))
        await asyncio.wait({first}, timeout=0)
        book.append("chat", "one")
        assert (await asyncio.wait_for(first, 30)).line == "one"
        book.append("chat", "two")
        assert (await anext(lines)).line == "two"
    await book.close()


async def test_followers_end_when_the_book_closes_and_slow_ones_miss_lines(store: SqliteStore) -> None:
    book = LogBook(store, capacity=10_000)
    await book.start()
    book.append("chat", "first")
    seen = []
    async with aclosing(book.follow("chat")) as lines, aclosing(book.follow("chat")) as idle:
        seen.append((await anext(lines)).line)
        assert (await anext(idle)).line == "first"
        for number in range(3000):
            book.append("chat", str(number))
        await asyncio.wait_for(book.close(), 30)
        async for line in lines:
            seen.append(line.line)
    assert len(seen) < 2100
    assert len(await store.logs("chat", limit=10_000)) <= 2000  # the retention came by
