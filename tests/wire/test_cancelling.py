"""Streams that the asker no longer wants, and everything that can cross a CANCEL on its way."""

import pytest

from dialback_wire import frames
from dialback_wire.frames import FrameType
from dialback_wire.messages import Reason, Refusal, Request, Verdict
from dialback_wire.stream import Stream
from dialback_wire.tables import Response

from .pair import OK_HEAD, Pair


def test_a_cancelled_answerer_hears_why_and_owes_an_end(pair: Pair) -> None:
    talk = pair.open()
    talk.answer.head(OK_HEAD)
    pair.run()
    talk.ask.cancel(Reason.CLIENT_GONE, "closed the tab")
    talk.ask.cancel(Reason.KILLED)
    pair.run()
    assert talk.answerer.events[-1] == ("cancel", Reason.CLIENT_GONE, "closed the tab")
    assert talk.ask.response is Response.CANCELLING
    talk.answer.write(b"nobody wants this")
    talk.answer.end(Verdict.OK)
    pair.run()
    assert talk.asker.last("end").verdict is Verdict.CANCELLED
    pair.check()


def test_a_cancel_before_the_head_reaches_the_answerer(pair: Pair) -> None:
    talk = pair.open(body=True)
    talk.ask.write(b"x" * 300_000)
    talk.ask.end(Verdict.OK)
    talk.ask.cancel(Reason.TIMEOUT_HEAD)
    pair.run()
    assert talk.answerer.names()[-1] == "cancel"
    talk.answer.head(OK_HEAD)
    talk.answer.end(Verdict.TIMEOUT)
    pair.run()
    assert talk.asker.last("end").verdict is Verdict.TIMEOUT
    pair.check()


def test_a_cancel_that_crosses_the_end_changes_nothing(pair: Pair) -> None:
    talk = pair.open()
    talk.answer.head(OK_HEAD)
    talk.answer.end(Verdict.OK)
    talk.ask.cancel(Reason.CLIENT_GONE)
    pair.run()
    assert talk.asker.last("end").verdict is Verdict.OK
    assert talk.answerer.last_word == "closed"
    assert "cancel" not in talk.answerer.names()
    pair.check()


def test_frames_that_crossed_the_cancel_never_reach_the_asker(pair: Pair) -> None:
    talk = pair.open(body=True)
    talk.answer.info(OK_HEAD)
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"crossing")
    talk.answer.trailers(())
    talk.answer.invite()
    pair.ticks.run()
    talk.ask.cancel(Reason.CLIENT_GONE)
    pair.run()
    assert talk.asker.events == []
    talk.answer.end(Verdict.OK)
    pair.run()
    assert talk.asker.names() == ["end"]
    pair.check()


@pytest.mark.parametrize("verdict", [Verdict.OK, Verdict.ERROR])
def test_an_end_that_waits_behind_data_leaves_at_once_when_a_cancel_comes(pair: Pair, verdict: Verdict) -> None:
    talk = pair.open(consume=False)
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"x" * 500_000)
    talk.answer.trailers(())
    talk.answer.end(verdict)
    pair.run()
    assert talk.answer.queued > 0
    talk.ask.cancel(Reason.CLIENT_GONE)
    pair.run()
    assert talk.asker.last("end").verdict is (Verdict.CANCELLED if verdict is Verdict.OK else verdict)
    assert talk.answerer.names()[-2:] == ["cancel", "closed"]
    pair.check()


def test_a_sink_may_end_from_inside_on_cancel_while_its_end_is_queued(pair: Pair) -> None:
    talk = pair.open(consume=False)
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"x" * 500_000)
    talk.answer.end(Verdict.OK)
    pair.run()
    talk.answerer.on["cancel"] = lambda *_: talk.answer.end(Verdict.TIMEOUT)
    talk.ask.cancel(Reason.TIMEOUT_TOTAL)
    pair.run()
    assert talk.asker.last("end").verdict is Verdict.TIMEOUT
    pair.check()


def test_a_refusal_after_a_cancel_becomes_an_end() -> None:
    pair = Pair("link")
    talk = pair.open()
    talk.ask.cancel(Reason.CLIENT_GONE)
    pair.run()
    talk.answer.refuse(Refusal.UNAVAILABLE, "queue full")
    pair.run()
    assert talk.asker.last("end").verdict is Verdict.CANCELLED
    pair.check()


def test_a_refusal_that_crosses_a_cancel_is_the_last_word() -> None:
    pair = Pair("link")
    talk = pair.open()
    talk.answer.refuse(Refusal.UNAVAILABLE, "queue full")
    talk.ask.cancel(Reason.CLIENT_GONE)
    pair.run()
    assert talk.asker.names() == ["refuse"]
    pair.check()


def test_a_cancel_right_behind_the_open_is_heard() -> None:
    pair = Pair("link")
    stream, notes = pair.start()
    stream.cancel(Reason.CLIENT_GONE)
    pair.run()
    answer, answerer = pair.acceptor.opened[0]
    assert answerer.names() == ["cancel"]
    answer.end(Verdict.OK)
    pair.run()
    assert notes.names() == ["end"]
    pair.check()


def test_request_body_frames_behind_a_cancel_reset_the_stream_and_never_reach_the_sink(pair: Pair) -> None:
    talk = pair.open(body=True)
    talk.ask.cancel(Reason.CLIENT_GONE)
    pair.run()
    pair.answerer.receive(frames.frame(FrameType.DATA, talk.ask.id, b"more"))
    pair.run()
    assert talk.answerer.names()[-2:] == ["cancel", "closed"]
    assert talk.asker.last("end").verdict is Verdict.PROTOCOL
    pair.check()


def test_a_reason_of_a_later_version_counts_as_killed(pair: Pair) -> None:
    talk = pair.open()
    pair.answerer.receive(frames.frame(FrameType.CANCEL, talk.ask.id, b"\xfahm"))
    assert talk.answerer.events[-1] == ("cancel", Reason.KILLED, "hm")


def test_a_violation_behind_our_cancel_still_gives_the_asker_its_last_word(pair: Pair) -> None:
    talk = pair.open()
    talk.ask.cancel(Reason.CLIENT_GONE)
    pair.ticks.run()
    pair.asker.receive(frames.frame(FrameType.OPEN, talk.ask.id, b"\x01"))
    assert talk.asker.last("end").verdict is Verdict.PROTOCOL
    pair.run()
    talk.answer.end(Verdict.OK)
    pair.run()
    assert talk.asker.names() == ["end"]
    pair.check()


def test_a_socket_that_was_not_let_in_yet_is_refused_not_cancelled() -> None:
    pair = Pair("socket")
    held: list[Stream] = []

    def hold(stream: Stream, what: Request | bytes) -> None:
        held.append(stream)

    pair.on_open = hold
    talk = pair.open()
    held[0].refuse(Refusal.GONE, "the client left")
    pair.run()
    assert talk.answerer.events == [("refuse", 410, "the client left")]
    pair.check()


def test_what_a_cancel_drops_before_it_left_writes_nothing(pair: Pair) -> None:
    talk = pair.open()
    talk.answer.head(OK_HEAD)
    pair.run()
    before = len(pair.sides["answerer"].writes)
    talk.answer.write(b"dropped")
    pair.answerer.receive(frames.frame(FrameType.CANCEL, talk.ask.id, b"\1"))
    pair.run()
    assert len(pair.sides["answerer"].writes) == before
