"""One stream's failure is its own: nothing that happens on it may harm its neighbours or their carrier."""

from typing import Any

import pytest

from dialback_wire import frames
from dialback_wire.errors import LocalError, StreamViolation
from dialback_wire.frames import FrameType
from dialback_wire.messages import Head, Reason, Request, Verdict
from dialback_wire.stream import Stream
from dialback_wire.tables import Response

from .notes import Notes
from .pair import OK_HEAD, Pair, request

WINDOW = 64 * 1024


def explode(*_: Any) -> None:
    raise RuntimeError("the transport is closed")


def stream_on(pair: Pair, talk: Any) -> None:
    """The neighbour answers as if nothing had happened."""
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"x" * 90_000)
    talk.answer.end(Verdict.OK)
    pair.run()
    assert len(talk.asker.data) == 90_000
    assert talk.asker.last("end").verdict is Verdict.OK


def test_a_sink_that_writes_to_a_closed_transport_does_not_kill_the_other_streams_of_its_socket(pair: Pair) -> None:
    bad, good = pair.open(), pair.open()
    good.answer.head(OK_HEAD)
    bad.asker.on["data"] = explode
    bad.answer.head(OK_HEAD)
    bad.answer.write(b"for a client that has left")
    good.answer.write(b"for one that has not")
    pair.run()
    assert bad.asker.last_word == "lost"
    assert bad.answerer.last("cancel") is Reason.KILLED
    assert good.asker.data == b"for one that has not"
    assert pair.sides["asker"].errors == [("the transport is closed", bad.ask.id)]
    bad.answer.end(Verdict.OK)
    good.answer.end(Verdict.OK)
    pair.run()
    assert good.asker.last("end").verdict is Verdict.OK
    assert pair.asker.streams == pair.answerer.streams == 0


def test_a_resume_that_arrives_together_with_the_end_of_the_other_direction_is_not_lost(pair: Pair) -> None:
    talk = pair.open(body=True, consume=False)
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"d" * (WINDOW + 1000))
    pair.run()
    assert talk.answer.credit == 0
    talk.ask.write(b"last")
    talk.ask.end(Verdict.OK)
    talk.ask.consumed(WINDOW)
    pair.run()
    assert talk.answerer.last("end").count == 4
    assert len(talk.asker.data) == WINDOW + 1000


def test_the_end_that_arrives_in_the_read_that_paused_its_reader_is_told_and_its_credit_comes_back(pair: Pair) -> None:
    talk = pair.open(consume=False)
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"d" * WINDOW)
    talk.answer.end(Verdict.OK)
    pair.run()
    assert talk.asker.last("end").count == WINDOW
    talk.ask.consumed(WINDOW)
    pair.run()
    pair.check()


def test_a_slow_reader_stalls_itself_alone(pair: Pair) -> None:
    slow, quick = pair.open(consume=False), pair.open()
    slow.answer.head(OK_HEAD)
    slow.answer.write(b"x" * 1_000_000)
    stream_on(pair, quick)
    assert slow.answer.queued == 1_000_000 - WINDOW


@pytest.mark.parametrize("where", ["head", "info", "data", "trailers", "end", "sent"])
def test_an_exception_anywhere_in_an_asking_sink_ends_its_stream_alone(pair: Pair, where: str) -> None:
    bad, good = pair.open(body=True), pair.open()
    bad.asker.on[where] = explode
    bad.ask.write(b"up")
    bad.answer.info(Head(103, ()))
    bad.answer.head(OK_HEAD)
    bad.answer.write(b"down")
    bad.answer.trailers(())
    bad.answer.end(Verdict.OK)
    pair.run()
    assert bad.asker.last_word in ("lost", "end")
    stream_on(pair, good)
    assert pair.asker.streams == pair.answerer.streams == 0


@pytest.mark.parametrize("where", ["data", "end", "credit", "sent", "cancel", "closed"])
def test_an_exception_anywhere_in_an_answering_sink_ends_its_stream_alone(pair: Pair, where: str) -> None:
    bad, good = pair.open(body=True), pair.open()
    bad.answerer.on[where] = explode
    bad.ask.write(b"up")
    bad.ask.end(Verdict.OK)
    bad.ask.invite()
    bad.answer.head(OK_HEAD)
    bad.answer.write(b"down")
    pair.run()
    bad.ask.cancel(Reason.CLIENT_GONE)
    pair.run()
    bad.answer.end(Verdict.OK)
    pair.run()
    assert bad.answerer.last_word in ("lost", "closed")
    assert bad.asker.last_word == "end"
    stream_on(pair, good)
    assert pair.asker.streams == pair.answerer.streams == 0


def test_a_sink_that_raises_behind_its_own_cancel_still_hears_a_last_word(pair: Pair) -> None:
    talk = pair.open()

    def cancel_and_explode(*_: Any) -> None:
        talk.ask.cancel(Reason.CLIENT_GONE)
        explode()

    talk.asker.on["head"] = cancel_and_explode
    talk.answer.head(OK_HEAD)
    pair.run()
    assert talk.asker.last_word == "lost"
    assert talk.ask.response is Response.CANCELLING
    talk.answer.end(Verdict.OK)
    pair.run()
    assert pair.asker.streams == 0


def test_a_sink_that_raises_behind_its_own_end_still_hears_that_it_left(pair: Pair) -> None:
    talk = pair.open(body=True)

    def end_and_explode(*_: Any) -> None:
        talk.answer.end(Verdict.ERROR)
        explode()

    talk.answerer.on["data"] = end_and_explode
    talk.ask.write(b"x")
    pair.run()
    assert talk.answerer.last_word == "closed"
    assert talk.asker.last("end").verdict is Verdict.ERROR


@pytest.mark.parametrize("error", [RuntimeError("bug"), StreamViolation("a bad head")])
def test_an_owner_that_raises_when_a_stream_is_opened_loses_that_stream_alone(pair: Pair, error: Exception) -> None:
    def fail(stream: Stream, what: Request | bytes) -> None:
        raise error

    let_in, pair.on_open = pair.on_open, fail
    bad = pair.open()
    opener = bad.asker if pair.carrier == "link" else bad.answerer
    assert opener.last_word in ("end", "refuse")
    pair.on_open = let_in
    stream_on(pair, pair.open())


def test_a_head_that_the_sink_finds_wrong_is_a_violation_of_the_peer(pair: Pair) -> None:
    talk = pair.open()

    def judge(head: Head) -> None:
        raise StreamViolation("two lengths")

    talk.asker.on["head"] = judge
    talk.answer.head(OK_HEAD)
    pair.run()
    end = talk.asker.last("end")
    assert (end.verdict, end.status, end.detail) == (Verdict.PROTOCOL, 502, "two lengths")
    assert talk.answerer.last("cancel") is Reason.PROTOCOL


def test_a_violation_raised_by_a_sink_whose_stream_is_over_changes_nothing(pair: Pair) -> None:
    talk = pair.open()

    def judge(*_: Any) -> None:
        raise StreamViolation("too late")

    talk.asker.on["end"] = judge
    talk.answer.end(Verdict.ERROR)
    pair.run()
    assert talk.asker.names() == ["end"]
    pair.check()


def test_a_carrier_that_cannot_be_written_to_is_lost_and_says_so_to_every_stream(pair: Pair) -> None:
    talks = [pair.open() for _ in range(3)]
    pair.sides["answerer"].broken = True
    talks[0].answer.head(OK_HEAD)
    talks[1].answer.end(Verdict.ERROR)
    pair.run()
    assert [talk.answerer.last_word for talk in talks] == ["lost"] * 3
    assert pair.answerer.lost_because == "the carrier cannot be written to: the transport is closed"
    assert pair.sides["answerer"].errors == [("the transport is closed", 0)]
    assert pair.answerer.streams == 0


def test_a_head_too_large_for_the_other_side_is_a_local_error_that_harms_nobody(pair: Pair) -> None:
    bad, good = pair.open(), pair.open()
    large = Head(200, tuple((b"x-%d" % n, b"v" * 60_000) for n in range(3)))
    with pytest.raises(LocalError, match="takes 131072 at most"):
        bad.answer.head(large)
    with pytest.raises(LocalError, match="cannot be sent"):
        bad.answer.head(Head(200, ((b"x", b"v" * 70_000),)))
    with pytest.raises(LocalError, match="cannot be sent"):
        bad.answer.head(Head(-1, ()))
    assert bad.answer.response is Response.WAITING
    bad.answer.end(Verdict.ERROR, status=502)
    stream_on(pair, good)
    assert bad.asker.names() == ["end"]
    pair.check()


def test_a_request_too_large_for_the_other_side_opens_nothing() -> None:
    pair = Pair("link")
    with pytest.raises(LocalError):
        pair.asker.open_request(request(fields=((b"x", b"v" * 65_000),) * 3), Notes(asks=True))
    with pytest.raises(LocalError):
        pair.asker.open_request(request(method=b"M" * 300), Notes(asks=True))
    assert pair.asker.streams == 0
    assert pair.open().ask.id == 1


def test_texts_for_people_are_cut_not_refused(pair: Pair) -> None:
    talk = pair.open()
    talk.answer.end(Verdict.ERROR, code="c" * 300, detail="\ud800" + "d" * 5_000)
    pair.run()
    end = talk.asker.last("end")
    assert end.code == "c" * 255
    assert end.detail == "?" + "d" * 1023
    pair.check()


def test_frames_that_a_sink_queues_while_a_write_is_put_together_keep_their_order(pair: Pair) -> None:
    first, second = pair.open(), pair.open()
    first.answer.head(OK_HEAD)

    def relay(_: int) -> None:
        if second.answer.response is Response.WAITING:
            second.answer.head(OK_HEAD)
            second.answer.write(b"behind the head")
            second.answer.end(Verdict.OK)

    first.answerer.on["sent"] = relay
    first.answer.write(b"x")
    first.answer.end(Verdict.OK)
    pair.run()
    assert second.asker.data == b"behind the head"
    assert second.asker.last("end").verdict is Verdict.OK
    pair.check()


def test_a_sink_may_write_and_end_from_inside_on_sent(pair: Pair) -> None:
    talk = pair.open()
    rest = [b"two", b"three"]

    def more(_: int) -> None:
        if rest:
            talk.answer.write(rest.pop(0))
        else:
            talk.answer.trailers(())
            talk.answer.end(Verdict.OK)

    talk.answerer.on["sent"] = more
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"one")
    pair.run()
    assert talk.asker.data == b"onetwothree"
    assert talk.asker.names() == ["head", "trailers", "end"]
    pair.check()


def test_frames_for_streams_that_are_over_or_never_were_are_passed_over(pair: Pair) -> None:
    talk = pair.open()
    number = talk.ask.id
    talk.answer.end(Verdict.ERROR)
    pair.run()
    for kind in (FrameType.DATA, FrameType.END, FrameType.WINDOW, FrameType.OPEN, FrameType.CANCEL):
        for stream in (number, 0xFFFF_FFFF):
            if not (kind is FrameType.OPEN and stream != number):
                pair.asker.receive(frames.frame(kind, stream, b"?"))
                pair.answerer.receive(frames.frame(kind, stream, b"?"))
    pair.run()
    pair.check()
