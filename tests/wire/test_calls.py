"""Calls that this side may not make: a LocalError, nothing sent, the stream as it was."""

from collections.abc import Callable

import pytest

from dialback_wire.errors import LocalError
from dialback_wire.messages import Info, Reason, Refusal, Verdict
from dialback_wire.stream import Stream

from .pair import OK_HEAD, Pair, Talk

Call = Callable[[Talk], None]


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda t: t.answer.write(b"x"), "may not send DATA when the response is waiting"),
        (lambda t: t.answer.trailers(()), "may not send TRAILERS when the response is waiting"),
        (lambda t: t.answer.end(Verdict.OK), "needs a HEAD before it"),
        (lambda t: t.answer.end(Verdict.ERROR, status=1000), "END with status 1000"),
        (lambda t: t.answer.end(Verdict.ERROR, retry_after=-1), "retry after -1 s"),
        (lambda t: t.answer.cancel(Reason.KILLED), "may not send CANCEL"),
        (lambda t: t.answer.accept(), "may not send ACCEPT"),
        (lambda t: t.ask.head(OK_HEAD), "may not send HEAD"),
        (lambda t: t.ask.info(Info(103, ())), "may not send INFO"),
        (lambda t: t.ask.write(b"x"), "may not send DATA when the body is none"),
        (lambda t: t.ask.end(Verdict.OK), "may not send END when the body is none"),
    ],
)
def test_a_call_that_is_not_legal_is_a_local_error(pair: Pair, call: Call, why: str) -> None:
    talk = pair.open()
    with pytest.raises(LocalError, match=why):
        call(talk)
    pair.run()
    talk.answer.head(OK_HEAD)
    talk.answer.end(Verdict.OK)
    pair.run()
    assert talk.asker.names() == ["head", "end"]
    pair.check()


@pytest.mark.parametrize(
    "call",
    [
        lambda stream: stream.write(b"x"),
        lambda stream: stream.head(OK_HEAD),
        lambda stream: stream.info(Info(103, ())),
        lambda stream: stream.trailers(()),
    ],
)
def test_an_answerer_says_nothing_behind_an_end_that_is_queued(pair: Pair, call: Callable[[Stream], None]) -> None:
    talk = pair.open(consume=False)
    talk.answer.head(OK_HEAD)
    talk.answer.write(b"x" * 100_000)
    talk.answer.end(Verdict.OK)
    with pytest.raises(LocalError, match="after END"):
        call(talk.answer)
    talk.answer.end(Verdict.ERROR)
    pair.run()


def test_an_asker_says_nothing_behind_the_end_of_its_body_but_may_cancel(pair: Pair) -> None:
    talk = pair.open(body=True, consume=False)
    talk.ask.write(b"x" * 100_000)
    talk.ask.end(Verdict.OK)
    with pytest.raises(LocalError, match="DATA after END"):
        talk.ask.write(b"x")
    talk.ask.cancel(Reason.CLIENT_GONE)
    pair.run()
    talk.answer.end(Verdict.OK)
    pair.run()
    pair.check()


def test_calls_that_come_too_late_do_nothing(pair: Pair) -> None:
    talk = pair.open(body=True)
    talk.answer.end(Verdict.ERROR)
    pair.run()
    for stream in (talk.ask, talk.answer):
        stream.cancel(Reason.KILLED)
        stream.write(b"x")
        stream.head(OK_HEAD)
        stream.info(Info(103, ()))
        stream.trailers(())
        stream.refuse(Refusal.GONE, "late")
        stream.accept()
        stream.end(Verdict.OK)
        stream.invite()
    pair.run()
    pair.check()


def test_a_stream_that_streams_cannot_be_refused_any_more(pair: Pair) -> None:
    talk = pair.open()
    talk.answer.head(OK_HEAD)
    stream = talk.answer if pair.carrier == "link" else talk.ask
    with pytest.raises(LocalError, match="may not send REFUSE"):
        stream.refuse(Refusal.GONE, "no")
