"""Credit, windows that grow, the shared budget, taking turns, joining writes."""

import pytest

from dialback_wire import frames
from dialback_wire.flow import Budget, ReceiveWindow
from dialback_wire.frames import FrameType
from dialback_wire.messages import Limits, Verdict
from dialback_wire.reader import FrameReader

from .pair import OK_HEAD, Pair, Talk

KIB = 1024


def answer(pair: Pair, talk: Talk, count: int) -> None:
    """The answerer sends `count` bytes and the end."""
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"x" * count)
    talk.answer.end(Verdict.OK)
    pair.run()


def most_outstanding(window: ReceiveWindow) -> int:
    """Bytes that may be on their way."""
    return window.limit - window.consumed


def test_a_fast_readers_window_grows_to_its_maximum_and_goes_back_to_the_budget(pair: Pair) -> None:
    talk = pair.open()
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"x" * 3_000_000)
    pair.run()
    assert talk.ask._incoming.size == 1024 * KIB
    assert pair.asker.budget.free == pair.asker.budget.total - 960 * KIB
    talk.answer.end(Verdict.OK)
    pair.run()
    assert len(talk.asker.data) == 3_000_000
    pair.check()


def test_a_slow_readers_window_stays_small() -> None:
    pair = Pair("socket")
    talk = pair.open(consume=False)
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"x" * 3_000_000)
    pair.run()
    for _ in range(100):
        talk.ask.consumed(8 * KIB)
        pair.run()
        assert talk.ask.received - talk.ask._incoming.consumed <= 64 * KIB
    assert talk.ask._incoming.size == 64 * KIB
    assert pair.asker.budget.free == pair.asker.budget.total


def test_streams_that_find_the_budget_used_up_go_on_with_small_windows(carrier: str) -> None:
    budget = Budget(100 * KIB)
    pair = Pair(carrier, budget=budget)
    talks = [pair.open() for _ in range(5)]
    for talk in talks:
        talk.answer.head(OK_HEAD)
        talk.answer.write(b"x" * 1_000_000)
    pair.run()
    assert budget.free == 36 * KIB
    assert sorted(talk.ask._incoming.size for talk in talks) == [64 * KIB] * 4 + [128 * KIB]
    for talk in talks:
        talk.answer.end(Verdict.OK)
    pair.run()
    assert {len(talk.asker.data) for talk in talks} == {1_000_000}
    pair.check()


def test_bytes_consumed_after_the_end_take_nothing_from_the_budget(pair: Pair) -> None:
    talk = pair.open(consume=False)
    answer(pair, talk, 64 * KIB)
    assert talk.ask.over
    talk.ask.consumed(64 * KIB)
    pair.check()


def test_more_cannot_be_consumed_than_has_come(pair: Pair) -> None:
    talk = pair.open(consume=False)
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"x" * 10)
    pair.run()
    with pytest.raises(ValueError, match="11 bytes consumed, 10 received"):
        talk.ask.consumed(11)
    talk.ask.consumed(10)


def test_a_window_is_acknowledged_so_that_a_sender_knows_what_it_need_not_keep(pair: Pair) -> None:
    talk = pair.open()
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"x" * 200 * KIB)
    pair.run()
    window = talk.answer._outbox.window
    assert window.acknowledged > 100 * KIB
    assert window.limit - window.acknowledged == talk.ask._incoming.size


def test_a_window_frame_is_sent_once_for_many_small_pieces(pair: Pair) -> None:
    talk = pair.open()
    talk.answer.head(OK_HEAD)
    side = pair.sides["asker"]
    before = len(side.writes)
    for _ in range(31):
        talk.answer.write(b"x" * KIB)
        pair.run()
    assert len(side.writes) == before
    talk.answer.write(b"x" * KIB)
    pair.run()
    assert len(side.writes) == before + 1


def test_fifty_small_streams_leave_in_the_same_write_as_a_bulk_one(carrier: str) -> None:
    pair = Pair(carrier, limits=Limits(window=4096 * KIB, max_window=4096 * KIB))
    bulk, small = pair.open(), [pair.open() for _ in range(50)]
    bulk.answer.head(OK_HEAD)
    bulk.answer.write(b"b" * 3_000_000)
    side = pair.sides["answerer"]
    before = len(side.writes)
    for talk in small:
        talk.answer.head(OK_HEAD)
        talk.answer.write(b"s")
    pair.ticks.run()
    reader = FrameReader()
    reader.max_frame = 1024 * KIB
    first = {stream for kind, stream, _ in reader.feed(side.writes[before]) if kind == FrameType.DATA}
    assert first == {talk.answer.id for talk in [bulk, *small]}
    pair.run()
    assert all(talk.asker.data == b"s" for talk in small)


def test_what_is_written_in_one_tick_leaves_as_one_write(pair: Pair) -> None:
    talks = [pair.open() for _ in range(3)]
    side = pair.sides["answerer"]
    before = len(side.writes)
    for talk in talks:
        talk.answer.head(OK_HEAD)
        for _ in range(10):
            talk.answer.write(b"tiny")
    assert len(side.writes) == before
    pair.ticks.run()
    assert len(side.writes) == before + 1
    assert side.writes[-1].count(frames.pack_header(FrameType.DATA << 24 | 40, talks[0].answer.id)) == 1


def test_an_eager_end_sends_the_first_bytes_of_a_tick_at_once_and_joins_the_rest(carrier: str) -> None:
    pair = Pair(carrier, eager=True)
    talk = pair.open()
    side = pair.sides["answerer"]
    before = len(side.writes)
    talk.answer.head(OK_HEAD)
    assert len(side.writes) == before
    talk.answer.write(b"first")
    assert len(side.writes) == before + 1
    talk.answer.write(b"second")
    talk.answer.write(b"third")
    assert len(side.writes) == before + 1
    pair.ticks.run()
    assert len(side.writes) == before + 2
    talk.answer.write(b"next tick")
    assert len(side.writes) == before + 3
    pair.run()
    assert talk.asker.data == b"firstsecondthirdnext tick"


def test_an_eager_end_can_be_asked_to_wait_for_the_end_of_the_tick(carrier: str) -> None:
    pair = Pair(carrier, eager=True)
    talk = pair.open()
    talk.answer.head(OK_HEAD)
    before = len(pair.sides["answerer"].writes)
    talk.answer.write(b"waits", flush=False)
    assert len(pair.sides["answerer"].writes) == before
    pair.run()
    assert talk.asker.data == b"waits"


def test_an_eager_end_is_eager_again_after_a_resume_outside_a_tick(carrier: str) -> None:
    pair = Pair(carrier, eager=True)
    talk = pair.open()
    talk.answer.head(OK_HEAD)
    pair.answerer.pause()
    talk.answer.write(b"one")
    pair.run()
    pair.answerer.resume()
    before = len(pair.sides["answerer"].writes)
    talk.answer.write(b"two")
    assert len(pair.sides["answerer"].writes) == before + 1


def test_a_sink_that_writes_while_an_eager_end_flushes_does_not_flush_inside_the_flush(carrier: str) -> None:
    pair = Pair(carrier, eager=True)
    talk = pair.open()
    rest = [b"b", b"c"]
    talk.answerer.on["sent"] = lambda _: talk.answer.write(rest.pop(0)) if rest else None
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"a")
    pair.run()
    assert talk.asker.data == b"abc"


def test_a_flush_from_inside_a_flush_is_left_to_the_outer_one(pair: Pair) -> None:
    talk = pair.open()
    rest = [b"b", b"c"]

    def more(_: int) -> None:
        if rest:
            talk.answer.write(rest.pop(0))
            pair.answerer.flush()

    talk.answerer.on["sent"] = more
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"a")
    pair.run()
    assert talk.asker.data == b"abc"


def test_an_empty_write_sends_nothing(pair: Pair) -> None:
    talk = pair.open()
    talk.answer.head(OK_HEAD)
    pair.run()
    before = len(pair.sides["answerer"].writes)
    talk.answer.write(b"")
    pair.run()
    assert len(pair.sides["answerer"].writes) == before


def test_a_stream_has_room_while_its_queue_is_small_and_within_credit(pair: Pair) -> None:
    talk = pair.open(consume=False)
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"x" * 100)
    assert talk.answer.has_room(100)
    assert not talk.answer.has_room(99)
    pair.run()
    assert talk.answer.has_room(0)
    talk.answer.write(b"x" * talk.answer.credit)
    assert talk.answer.has_room(1 << 20)
    talk.answer.write(b"x")
    assert not talk.answer.has_room(1 << 20), "one byte more than the other side takes"
