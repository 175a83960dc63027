"""The carrier's own frames, floods, pausing and loss."""

import sys
from collections.abc import Iterable

import pytest

from dialback_wire import frames
from dialback_wire.errors import FramingError, LocalError
from dialback_wire.frames import FrameType
from dialback_wire.messages import Head, Info, Limits, Verdict
from dialback_wire.mux import MAX_UNREAD, Mux
from dialback_wire.outlet import MAX_WRITE, ByteOutlet

from .notes import Notes
from .pair import OK_HEAD, SEATS, TOKEN, Pair, request, waiting


def test_a_ping_comes_back_with_its_payload(pair: Pair) -> None:
    pair.asker.ping(b"123")
    pair.answerer.ping()
    pair.run()
    assert pair.sides["asker"].pongs == [b"123"]
    assert pair.sides["answerer"].pongs == [b""]


def test_a_ping_is_small_because_it_has_to_be_sent_back(pair: Pair) -> None:
    with pytest.raises(LocalError, match="64 at most"):
        pair.asker.ping(b"x" * 65)
    with pytest.raises(FramingError, match="64 at most"):
        pair.asker.receive(frames.frame(FrameType.PING, 0, b"x" * 65))


def test_an_owner_that_raises_in_a_carrier_callback_is_reported_and_harms_nothing() -> None:
    def explode(_: bytes) -> None:
        raise RuntimeError("bug")

    pair = Pair("link", greet=False)
    pair.asker = pair.mux("asker", SEATS["link"][0], on_pong=explode)
    pair.greet()
    pair.asker.ping()
    pair.run()
    assert pair.sides["asker"].errors == [("bug", 0)]
    pair.open()


def test_callbacks_are_optional() -> None:
    pair = Pair("link", greet=False)
    pair.answerer = Mux(SEATS["link"][1], write=pair.sides["answerer"].write, defer=pair.ticks)
    pair.asker = Mux(SEATS["link"][0], write=pair.sides["asker"].write, defer=pair.ticks)
    pair.greet()
    pair.asker.ping()
    notes = Notes(asks=True)
    pair.asker.open_request(request(), notes)
    pair.run()
    assert notes.events == [("refuse", 503, "this side takes no streams")]
    pair.answerer.go_away("bye")
    pair.run()
    assert pair.asker.going_away


def test_an_end_that_goes_away_refuses_new_streams_and_finishes_the_others(pair: Pair) -> None:
    talk = pair.open()
    acceptor = pair.answerer if pair.carrier == "link" else pair.asker
    acceptor.go_away("deploying")
    _, late = pair.start()
    pair.run()
    opener_side = pair.sides["asker" if pair.carrier == "link" else "answerer"]
    assert opener_side.going_away == ["deploying"]
    assert pair.opener.going_away
    assert late.events == [("refuse", 503, "going away")]
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"still here")
    talk.answer.end(Verdict.OK)
    pair.run()
    assert talk.asker.data == b"still here"
    pair.check()


def test_more_streams_than_allowed_are_refused_and_a_finished_one_makes_room(carrier: str) -> None:
    pair = Pair(carrier, limits=Limits(max_streams=2))
    talks = [pair.open(), pair.open()]
    _, third = pair.start()
    pair.run()
    assert third.last("refuse") == 503
    talks[0].answer.end(Verdict.ERROR)
    pair.run()
    fourth = pair.open()
    assert not fourth.ask.over


def test_frame_types_of_a_later_version_are_ignored_on_carrier_and_stream(pair: Pair) -> None:
    talk = pair.open(body=True)
    for kind in (0x0F, 0x1A, 0x7F, 0xFF):
        for mux in (pair.asker, pair.answerer):
            mux.receive(frames.frame(kind, 0, b"later"))
            mux.receive(frames.frame(kind, talk.ask.id, b"later"))
    talk.answer.end(Verdict.ERROR)
    pair.run()
    assert talk.asker.names() == ["end"]
    pair.check()


def test_a_frame_larger_than_announced_closes_the_carrier_behind_the_frames_before_it(carrier: str) -> None:
    pair = Pair(carrier, limits=Limits(max_frame=2048))
    talk = pair.open()
    head = frames.frame(FrameType.HEAD, talk.ask.id, frames.encode_head(OK_HEAD))
    with pytest.raises(FramingError, match="2049 bytes; 2048 at most"):
        pair.asker.receive(head + frames.pack_header(FrameType.DATA << 24 | 2049, talk.ask.id))
    assert talk.asker.names() == ["head"]
    pair.asker.lost("framing")
    assert talk.asker.names() == ["head", "lost"]
    assert pair.asker.streams == 0


def test_data_leaves_in_frames_that_the_other_side_takes(carrier: str) -> None:
    pair = Pair(carrier, limits=Limits(max_frame=2048))
    talk = pair.open()
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"x" * 10_000)
    talk.answer.end(Verdict.OK)
    pair.run()
    assert len(talk.asker.data) == 10_000
    assert max(e[1] for e in talk.asker.events if e[0] == "data") == 2048


def test_a_lost_carrier_is_the_last_word_of_every_stream_and_said_once(pair: Pair) -> None:
    talks = [pair.open(body=True) for _ in range(3)]
    talks[0].answer.head(OK_HEAD)
    talks[0].answer.write(b"x" * 500_000)
    talks[1].answerer.on["lost"] = lambda _: talks[0].answer.write(b"from inside")
    pair.answerer.lost("cut")
    pair.answerer.lost("again")
    pair.run()
    assert [talk.answerer.last("lost") for talk in talks] == ["cut"] * 3
    pair.asker.lost("cut")
    talks[0].ask.consumed(0)
    pair.answerer.ping()
    pair.run()
    pair.check()


def test_an_end_that_never_left_is_told_as_lost(pair: Pair) -> None:
    talk = pair.open()
    pair.answerer.pause()
    talk.answer.end(Verdict.ERROR)
    pair.run()
    pair.answerer.lost("cut")
    assert talk.answerer.names()[-1] == "lost"


def test_what_comes_behind_the_loss_of_a_carrier_is_not_looked_at() -> None:
    pair = Pair("link")
    talk = pair.open()
    other = pair.open()
    talk.asker.on["end"] = lambda _: pair.asker.lost("shut down by the owner")
    talk.answer.end(Verdict.ERROR)
    other.answer.end(Verdict.ERROR)
    pair.run()
    assert other.asker.names() == ["lost"]


def test_a_paused_carrier_is_given_nothing_until_it_resumes(pair: Pair) -> None:
    talk = pair.open()
    side = pair.sides["answerer"]
    pair.answerer.pause()
    before = len(side.writes)
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"waits")
    pair.run()
    assert len(side.writes) == before
    pair.answerer.resume()
    pair.run()
    assert talk.asker.data == b"waits"


def test_a_carrier_that_pauses_in_the_middle_of_a_flush_is_obeyed() -> None:
    pair = Pair("link", limits=Limits(window=4_000_000))
    talk = pair.open()
    side = pair.sides["answerer"]
    before = len(side.writes)
    write = side.write

    def full(data: bytes) -> None:
        write(data)
        pair.answerer.pause()

    pair.answerer.outlet = ByteOutlet(full)
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"x" * 3_000_000)
    pair.ticks.run()
    assert len(side.writes) == before + 1
    assert side.writes[-1].count(b"x") <= 256 * 1024 + 64 * 1024
    while talk.answer.queued:
        pair.answerer.resume()
    pair.run()
    assert len(talk.asker.data) == 3_000_000


def feed(mux: Mux, pieces: Iterable[bytes]) -> None:
    """Give all pieces to `mux`."""
    for piece in pieces:
        mux.receive(piece)


def held(pair: Pair) -> int:
    """Bytes that wait in the asker for its carrier."""
    return sum(map(sys.getsizeof, waiting(pair.asker)))


@pytest.mark.parametrize("payload", [b"", b"x" * 64])
def test_a_peer_that_sends_pings_and_reads_nothing_is_cut_off_within_bounds(carrier: str, payload: bytes) -> None:
    pair = Pair(carrier)
    pair.asker.pause()
    flood = frames.frame(FrameType.PING, 0, payload) * 1_000
    with pytest.raises(FramingError, match="does not read"):
        feed(pair.asker, [flood] * 200)
    assert len(pair.asker.outlet) <= MAX_UNREAD + 1
    assert held(pair) < 2_000_000


def test_a_peer_that_opens_streams_and_reads_nothing_is_cut_off_within_bounds(carrier: str) -> None:
    pair = Pair(carrier, limits=Limits(max_streams=10))
    acceptor = pair.answerer if carrier == "link" else pair.asker
    acceptor.pause()
    what = frames.encode_open_request(request()) if carrier == "link" else frames.encode_open_token(TOKEN)
    with pytest.raises(FramingError, match="does not read"):
        feed(acceptor, (frames.frame(FrameType.OPEN, number, what) for number in range(1, 200_000)))
    assert acceptor.streams == 10


def test_200000_empty_frames_of_data_cost_no_memory_and_reach_no_sink(carrier: str) -> None:
    pair = Pair(carrier)
    talk, other = pair.open(), pair.open()
    talk.answer.head(OK_HEAD)
    pair.run()
    pair.asker.pause()
    heard = len(talk.asker.events)
    flood = frames.frame(FrameType.DATA, talk.ask.id) * 10_000
    for _ in range(20):
        pair.asker.receive(flood)
    assert len(talk.asker.events) == heard
    assert waiting(pair.asker) == []
    pair.asker.resume()
    other.answer.end(Verdict.ERROR)
    talk.answer.end(Verdict.OK)
    pair.run()
    assert talk.asker.last("end").verdict is Verdict.OK
    pair.check()


def test_200000_frames_of_data_for_a_cancelled_stream_cost_no_memory(carrier: str) -> None:
    pair = Pair(carrier)
    talk = pair.open()
    pair.asker.pause()
    flood = frames.frame(FrameType.DATA, talk.ask.id, b"x") * 10_000
    for _ in range(20):
        pair.asker.receive(flood)
    assert talk.asker.last("end").verdict is Verdict.PROTOCOL
    assert len(pair.asker.outlet) == 1


def test_interim_responses_are_counted_because_they_need_no_credit(pair: Pair) -> None:
    talk, other = pair.open(), pair.open()
    for _ in range(32):
        talk.answer.info(Info(103, ()))
    with pytest.raises(LocalError, match="32 interim"):
        talk.answer.info(Info(103, ()))
    pair.run()
    pair.asker.receive(frames.frame(FrameType.INFO, talk.ask.id, frames.encode_head(Info(103, ()))))
    assert talk.asker.names() == ["info"] * 32 + ["end"]
    assert talk.asker.last("end").verdict is Verdict.PROTOCOL
    assert not other.ask.over


def test_a_carrier_runs_out_of_stream_numbers_with_a_clear_error() -> None:
    pair = Pair("link")
    pair.asker._last_id = frames.MAX_STREAM
    with pytest.raises(LocalError, match="used up"):
        pair.asker.open_request(request(), Notes(asks=True))


def test_a_seat_that_takes_streams_cannot_open_one() -> None:
    with pytest.raises(LocalError, match="opens no streams"):
        Pair("link").answerer.open_token(TOKEN, Notes(asks=False))


def test_one_write_is_never_larger_than_a_carriers_message_may_be(pair: Pair) -> None:
    talks = [pair.open() for _ in range(15)]
    side = pair.sides["answerer"]
    before = len(side.writes)
    for talk in talks:
        talk.answer.head(Head(200, ((b"x", b"v" * 60_000),)))
    pair.ticks.run()
    assert len(side.writes[before]) == MAX_WRITE
    assert sum(len(data) for data in side.writes[before:]) > 15 * 60_000
    pair.chop = None
    pair.run()
    assert all(talk.asker.names() == ["head"] for talk in talks)
