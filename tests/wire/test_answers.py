"""ANSWER: a whole response in one frame, where the other side knows it and the body is small."""

import dataclasses

import pytest

from dialback_wire import frames
from dialback_wire.errors import LocalError
from dialback_wire.frames import FrameType
from dialback_wire.messages import End, Head, Limits, Reason, Verdict
from dialback_wire.mux import Mux
from dialback_wire.stream import MAX_ANSWER

from .pair import OK_HEAD, Pair, Talk, waiting

BODY = b"all of it"


def kinds(mux: Mux) -> list[int]:
    """The types of the frames that wait in `mux`."""
    return [part[0] for part in waiting(mux)]


def forget_answers(mux: Mux) -> None:
    """`mux` takes its peer for one that does not know the frame."""
    assert mux.peer is not None
    mux.peer = dataclasses.replace(mux.peer, minor=1)
    mux.takes_answers = False


def test_a_whole_response_is_one_frame_and_one_call(pair: Pair) -> None:
    talk = pair.open()
    taps: list[tuple[bool, int]] = []
    talk.answer.tap = lambda sent, kind, size: taps.append((sent, kind))
    talk.answer.answer(OK_HEAD, BODY)
    assert kinds(pair.answerer) == [FrameType.ANSWER]
    assert taps == [(True, FrameType.ANSWER)]
    pair.run()
    assert talk.asker.events[-1] == ("answer", OK_HEAD, BODY)
    assert talk.ask.over
    assert talk.ask.received == talk.answer.sent == len(BODY)
    assert talk.answerer.last_word == "closed"
    assert "sent" not in [event[0] for event in talk.answerer.events]
    assert pair.asker.streams == pair.answerer.streams == 0


def test_it_may_have_no_body(pair: Pair) -> None:
    talk = pair.open()
    talk.answer.answer(Head(204, ()), b"")
    pair.run()
    assert talk.asker.events[-1] == ("answer", Head(204, ()), b"")


def apart(talk: Talk, body: bytes) -> None:
    """The response came as head, data and end."""
    assert talk.asker.names()[-2:] == ["head", "end"]
    assert talk.asker.data == body
    assert talk.asker.last("end") == End(Verdict.OK, len(body))


@pytest.mark.parametrize("size", [MAX_ANSWER, MAX_ANSWER + 1])
def test_a_large_body_comes_apart(pair: Pair, size: int) -> None:
    talk = pair.open()
    talk.answer.answer(OK_HEAD, b"x" * size)
    assert (FrameType.ANSWER in kinds(pair.answerer)) == (size <= MAX_ANSWER)
    pair.run()
    assert talk.asker.data == b"x" * size
    if size > MAX_ANSWER:
        apart(talk, b"x" * size)


def test_a_body_above_the_credit_comes_apart_and_waits_for_it(carrier: str) -> None:
    pair = Pair(carrier, limits=Limits(window=100, max_window=100))
    talk = pair.open(consume=False)
    talk.answer.answer(OK_HEAD, b"x" * 101)
    pair.run()
    assert talk.asker.data == b"x" * 100
    assert not talk.ask.over
    talk.ask.consumed(100)
    pair.run()
    apart(talk, b"x" * 101)


def test_a_frame_that_the_other_side_would_not_take_comes_apart(carrier: str) -> None:
    pair = Pair(carrier, limits=Limits(max_frame=1024))
    talk = pair.open()
    talk.answer.answer(OK_HEAD, b"x" * 1020)
    pair.run()
    apart(talk, b"x" * 1020)


def test_an_end_of_an_earlier_minor_version_gets_it_apart(pair: Pair) -> None:
    talk = pair.open()
    forget_answers(pair.answerer)
    talk.answer.answer(OK_HEAD, BODY)
    pair.run()
    apart(talk, BODY)


def test_a_sink_that_does_not_care_hears_head_data_and_end() -> None:
    from dialback_wire.sink import BaseSink

    heard: list[object] = []

    class Sink(BaseSink):
        def on_head(self, head: Head) -> None:
            heard.append(head)

        def on_data(self, data: bytes) -> None:
            heard.append(data)

        def on_end(self, end: End) -> None:
            heard.append(end)

    Sink().on_answer(OK_HEAD, BODY)
    Sink().on_answer(OK_HEAD, b"")
    assert heard == [OK_HEAD, BODY, End(Verdict.OK, len(BODY)), OK_HEAD, End(Verdict.OK, 0)]


def test_what_was_begun_cannot_be_answered_at_once(pair: Pair) -> None:
    talk = pair.open()
    talk.answer.head(OK_HEAD)
    with pytest.raises(LocalError, match="ANSWER when the response is streaming"):
        talk.answer.answer(OK_HEAD, BODY)


def test_an_asker_answers_nothing(pair: Pair) -> None:
    talk = pair.open()
    with pytest.raises(LocalError):
        talk.ask.answer(OK_HEAD, BODY)


def test_one_that_crosses_a_cancel_ends_the_stream_and_brings_nothing(pair: Pair) -> None:
    talk = pair.open()
    talk.answer.answer(OK_HEAD, BODY)
    talk.ask.cancel(Reason.CLIENT_GONE)
    pair.run()
    assert talk.asker.names()[-1] == "end"
    assert talk.asker.data == b""
    assert talk.asker.last("end").count == len(BODY)
    assert "cancel" not in talk.answerer.names()
    assert pair.asker.streams == pair.answerer.streams == 0


def test_one_that_comes_after_a_cancel_is_not_sent(pair: Pair) -> None:
    talk = pair.open()
    talk.ask.cancel(Reason.CLIENT_GONE)
    pair.run()
    talk.answer.answer(OK_HEAD, BODY)
    assert kinds(pair.answerer) == []
    talk.answer.end(Verdict.OK)
    pair.run()
    assert talk.asker.last("end").verdict is Verdict.CANCELLED


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"\0\0\0", "ANSWER cannot be decoded"),
        (b"\0\0\0\x09\0\xc8\0\0", "ANSWER's head is longer than its frame"),
        (b"\0\0\0\5\0\xc8\0\0!", "bytes behind the last field"),
        (frames.encode_answer(OK_HEAD, b"x" * 65_537), "1 bytes more than the window allows"),
    ],
)
def test_one_that_lies_is_a_failure_and_the_last_frame(pair: Pair, payload: bytes, why: str) -> None:
    talk, other = pair.open(), pair.open()
    pair.asker.receive(frames.frame(FrameType.ANSWER, talk.ask.id, payload))
    end = talk.asker.last("end")
    assert (end.verdict, end.status, end.code) == (Verdict.PROTOCOL, 502, "protocol_violation")
    assert why in end.detail
    assert waiting(pair.asker) == []
    assert pair.asker.streams == 1
    other.answer.answer(OK_HEAD, BODY)
    pair.run()
    assert other.asker.last_word == "answer"


def test_a_sink_that_raises_hears_that_the_stream_is_lost(pair: Pair) -> None:
    talk, other = pair.open(), pair.open()

    def fail(*_: object) -> None:
        # Whoever raises has not taken it as the last word.
        talk.asker.last_word = ""
        raise RuntimeError("a bug")

    talk.asker.on["answer"] = fail
    talk.answer.answer(OK_HEAD, BODY)
    other.answer.answer(OK_HEAD, BODY)
    pair.run()
    assert talk.asker.last_word == "lost"
    assert other.asker.last_word == "answer"
    errors = pair.sides["asker"].errors
    assert [text for text, _ in errors] == ["a bug"]
    errors.clear()
