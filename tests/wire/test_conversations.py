"""What two ends that keep the rules hear from each other."""

import pytest

from dialback_wire.messages import Accept, Head, Info, Limits, Refusal, Request, Verdict
from dialback_wire.stream import Stream
from dialback_wire.tables import Body, Response

from .notes import Notes
from .pair import OK_HEAD, Pair, request

TRAILERS = ((b"digest", b"x"),)


def test_a_response_arrives_head_first_then_data_in_order_then_the_end(pair: Pair) -> None:
    talk = pair.open()
    talk.answer.head(OK_HEAD)
    for piece in (b"one ", b"two ", b"three"):
        talk.answer.write(piece)
    talk.answer.end(Verdict.OK)
    pair.run()
    assert talk.asker.names() == ["head", "end"]
    assert talk.asker.last("head") == OK_HEAD
    assert talk.asker.data == b"one two three"
    assert talk.asker.last("end").count == 13
    assert talk.asker.last("end").verdict is Verdict.OK
    assert talk.answerer.names()[-1] == "closed"
    assert talk.answer.over
    assert talk.ask.over
    pair.check()


def test_interim_responses_and_trailers_arrive_where_they_were_sent(pair: Pair) -> None:
    talk = pair.open()
    talk.answer.info(Info(103, ((b"link", b"</a.css>"),)))
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"x" * 100_000)
    talk.answer.trailers(TRAILERS)
    talk.answer.end(Verdict.OK)
    pair.run()
    assert talk.asker.names() == ["info", "head", "trailers", "end"]
    assert talk.asker.last("info") == Info(103, ((b"link", b"</a.css>"),))
    assert talk.asker.last("trailers") == TRAILERS
    assert len(talk.asker.data) == 100_000
    pair.check()


def test_trailers_follow_directly_when_nothing_is_queued(pair: Pair) -> None:
    talk = pair.open()
    talk.answer.head(OK_HEAD)
    talk.answer.trailers(TRAILERS)
    talk.answer.end(Verdict.OK)
    pair.run()
    assert talk.asker.names() == ["head", "trailers", "end"]
    pair.check()


def test_a_request_body_streams_up_while_the_response_streams_down(pair: Pair) -> None:
    talk = pair.open(body=True)
    talk.answer.head(OK_HEAD)
    for _ in range(20):
        talk.ask.write(b"u" * 9_000)
        talk.answer.write(b"d" * 9_000)
    talk.ask.trailers(TRAILERS)
    talk.ask.end(Verdict.OK)
    talk.ask.end(Verdict.OK)
    pair.run()
    assert talk.answerer.data == b"u" * 180_000
    assert talk.answerer.last("end").count == 180_000
    assert talk.answerer.last("trailers") == TRAILERS
    assert talk.ask.body is Body.ENDED
    assert talk.ask.response is Response.STREAMING
    talk.ask.end(Verdict.OK)
    talk.answer.end(Verdict.OK)
    pair.run()
    assert talk.asker.data == b"d" * 180_000
    pair.check()


def test_the_answer_may_end_while_the_request_body_still_comes(pair: Pair) -> None:
    talk = pair.open(body=True, consume=False)
    talk.ask.write(b"u" * 500_000)
    pair.run()
    talk.answer.head(Head(413, ()))
    talk.answer.end(Verdict.OK)
    pair.run()
    assert talk.asker.names() == ["head", "end"]
    assert talk.ask.queued == 0
    talk.ask.write(b"too late")
    talk.ask.end(Verdict.OK)
    talk.answer.consumed(len(talk.answerer.data))
    pair.run()
    pair.check()


def test_an_answerer_that_sent_its_trailers_still_grants_the_request_body_credit(pair: Pair) -> None:
    talk = pair.open(body=True)
    talk.answer.head(OK_HEAD)
    talk.answer.trailers(TRAILERS)
    talk.ask.write(b"u" * 300_000)
    talk.ask.end(Verdict.OK)
    pair.run()
    assert len(talk.answerer.data) == 300_000
    talk.answer.end(Verdict.OK)
    pair.run()
    pair.check()


def test_an_end_before_the_head_carries_the_status_the_client_should_get(pair: Pair) -> None:
    talk = pair.open()
    talk.answer.end(Verdict.OVERLOAD, status=503, code="queue_full", detail="later", retry_after=3)
    pair.run()
    end = talk.asker.last("end")
    assert (end.verdict, end.status, end.code) == (Verdict.OVERLOAD, 503, "queue_full")
    assert (end.detail, end.retry_after) == ("later", 3)
    pair.check()


def test_many_streams_share_a_carrier_without_mixing(pair: Pair) -> None:
    talks = [pair.open() for _ in range(20)]
    for number, talk in enumerate(talks):
        talk.answer.head(OK_HEAD)
        talk.answer.write(bytes([number]) * 5_000)
    for talk in talks:
        talk.answer.end(Verdict.OK)
    pair.run()
    assert [bytes(talk.asker.data) for talk in talks] == [bytes([n]) * 5_000 for n in range(20)]
    assert len({talk.ask.id for talk in talks}) == 20
    pair.check()


def test_a_relayed_request_arrives_as_it_was_sent() -> None:
    pair = Pair("link")
    seen: list[Request | bytes] = []
    pair.on_open = lambda stream, what: seen.append(what)
    sent = request(12)
    stream = pair.asker.open_request(sent, Notes(asks=True))
    assert stream.body is Body.STREAMING
    pair.run()
    assert seen == [sent]


@pytest.mark.parametrize("body", [True, False])
def test_a_token_is_answered_with_a_resume_token_and_whether_a_body_follows(body: bool) -> None:
    talk = Pair("socket").open(body=body)
    assert talk.answerer.last("accept") == Accept(b"resume", body)


@pytest.mark.parametrize("code", list(Refusal))
def test_a_refused_stream_hears_the_code_and_is_over(pair: Pair, code: Refusal) -> None:
    def refuse(stream: Stream, what: Request | bytes) -> None:
        stream.refuse(code, "no")

    pair.on_open = refuse
    talk = pair.open()
    opener = talk.asker if pair.carrier == "link" else talk.answerer
    assert opener.events == [("refuse", code, "no")]
    talk.answer.end(Verdict.ERROR)
    pair.check()


def test_a_bridge_may_give_up_before_it_is_let_in() -> None:
    pair = Pair("socket")
    pair.on_open = lambda stream, what: None
    stream, notes = pair.start()
    stream.end(Verdict.ERROR, code="gave_up")
    pair.run()
    accepted, asker = pair.sides["asker"].opened[0]
    assert asker.last("end").code == "gave_up"
    accepted.accept()
    pair.run()
    assert notes.names() == ["closed"]
    pair.check()


def test_an_acceptance_that_crosses_the_end_of_a_bridge_that_gave_up_is_passed_over() -> None:
    pair = Pair("socket")
    talk = pair.open()
    pair.on_open = lambda stream, what: None
    stream, notes = pair.start()
    pair.run()
    accepted, asker = pair.sides["asker"].opened[-1]
    stream.end(Verdict.ERROR)
    accepted.accept(body=True)
    accepted.write(b"body")
    pair.run()
    assert asker.last("end").verdict is Verdict.ERROR
    assert notes.names() == ["closed"]
    talk.answer.end(Verdict.ERROR)
    pair.run()
    pair.check()


def test_the_first_credit_is_told_once_and_can_be_given_before_anything_came(pair: Pair) -> None:
    talk = pair.open(body=True)
    talk.answer.invite()
    pair.run()
    assert ("credit",) in talk.asker.events
    talk.ask.write(b"x" * 200_000)
    pair.run()
    assert talk.asker.events.count(("credit",)) == 1
    assert talk.ask.sent == talk.answer.received == 200_000


def test_what_was_written_is_told_as_sent_when_it_leaves(pair: Pair) -> None:
    talk = pair.open(consume=False)
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"x" * 100_000)
    pair.run()
    window = Limits().window
    assert sum(event[1] for event in talk.answerer.events if event[0] == "sent") == window
    assert talk.answer.queued == 100_000 - window
    assert talk.answer.credit == 0


def test_a_tap_sees_every_frame_of_its_stream(pair: Pair) -> None:
    talk = pair.open(body=True)
    seen: list[tuple[bool, int, int]] = []
    talk.answer.tap = lambda *frame: seen.append(frame)
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"abc")
    talk.ask.write(b"de")
    talk.ask.end(Verdict.OK)
    pair.run()
    talk.answer.end(Verdict.OK)
    pair.run()
    kinds = [(sent, kind) for sent, kind, _ in seen]
    assert kinds == [(True, 0x14), (True, 0x15), (False, 0x15), (False, 0x17), (True, 0x17)]


def test_a_bridge_is_told_that_it_is_closed_only_when_the_carrier_took_its_end(pair: Pair) -> None:
    talk = pair.open()
    pair.answerer.pause()
    talk.answer.head(OK_HEAD)
    talk.answer.end(Verdict.OK)
    pair.run()
    assert talk.answerer.last_word == ""
    assert pair.answerer.streams == 1
    pair.answerer.resume()
    assert talk.answerer.last_word == "closed"
    assert pair.answerer.streams == 0
    pair.run()
    assert talk.asker.names() == ["head", "end"]
    pair.check()
