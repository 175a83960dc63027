"""A peer that breaks a rule of one stream: the stream is reset on both sides, the carrier and the others live."""

from collections.abc import Callable

import pytest

from dialback_wire import frames
from dialback_wire.frames import FrameType
from dialback_wire.messages import End, Reason, Verdict

from .pair import OK_HEAD, TOKEN, Pair, Talk, request

HEAD = frames.encode_head(OK_HEAD)
END = frames.encode_end(End(Verdict.OK, 0))
ANSWER = frames.encode_answer(OK_HEAD, b"x")


def waiting(pair: Pair) -> Talk:
    return pair.open(body=True)


def streaming(pair: Pair) -> Talk:
    talk = pair.open(body=True)
    talk.answer.head(OK_HEAD)
    pair.run()
    return talk


def trailed(pair: Pair) -> Talk:
    talk = streaming(pair)
    talk.answer.trailers(())
    pair.run()
    return talk


FROM_ANSWERER = [
    (waiting, FrameType.DATA, b"x", "DATA when the response is waiting"),
    (waiting, FrameType.TRAILERS, b"\0\0", "TRAILERS when the response is waiting"),
    (waiting, FrameType.ACCEPT, b"\0", "ACCEPT when the response is waiting"),
    (waiting, FrameType.HEAD, b"", "a head cannot be decoded"),
    (waiting, FrameType.HEAD, b"\0\xc8\0\1", "a head cannot be decoded"),
    (waiting, FrameType.HEAD, b"\0\xc8\0\1\0\1\0\5xyz", "a field is longer"),
    (waiting, FrameType.HEAD, HEAD + b"!", "bytes behind the last field"),
    (waiting, FrameType.INFO, b"\0", "a head cannot be decoded"),
    (waiting, FrameType.OPEN, b"\1", "OPEN when the response is waiting"),
    (waiting, FrameType.HELLO, b"", "HELLO when the response is waiting"),
    (waiting, FrameType.CANCEL, b"\1", "CANCEL when the response is waiting"),
    (waiting, FrameType.WINDOW, b"", "WINDOW cannot be decoded"),
    (waiting, FrameType.WINDOW, frames.encode_window(1, 100_000), "WINDOW acknowledges 1 bytes, 0 were sent"),
    (waiting, FrameType.END, END, "END says OK without a head"),
    (streaming, FrameType.HEAD, HEAD, "HEAD when the response is streaming"),
    (streaming, FrameType.INFO, HEAD, "INFO when the response is streaming"),
    (streaming, FrameType.ANSWER, ANSWER, "ANSWER when the response is streaming"),
    (streaming, FrameType.REFUSE, b"\1\1", "REFUSE when the response is streaming"),
    (streaming, FrameType.DATA, b"x" * 65_537, "1 bytes more than the window allows"),
    (streaming, FrameType.TRAILERS, b"", "TRAILERS cannot be decoded"),
    (streaming, FrameType.END, b"", "END cannot be decoded"),
    (streaming, FrameType.END, END[:-1] + b"\x05", "END's code is longer than its frame"),
    (streaming, FrameType.END, frames.encode_end(End(Verdict.OK, 7)), "END counts 7 bytes, 0 came"),
    (trailed, FrameType.DATA, b"x", "DATA when the response is trailed"),
    (trailed, FrameType.TRAILERS, b"\0\0", "TRAILERS when the response is trailed"),
]


@pytest.mark.parametrize(("state", "kind", "payload", "why"), FROM_ANSWERER)
def test_an_answerer_that_breaks_a_rule_loses_its_stream(
    pair: Pair, state: Callable[[Pair], Talk], kind: FrameType, payload: bytes, why: str
) -> None:
    talk, other = state(pair), pair.open()
    pair.asker.receive(frames.frame(kind, talk.ask.id, payload))
    end = talk.asker.last("end")
    assert (end.verdict, end.status, end.code) == (Verdict.PROTOCOL, 502, "protocol_violation")
    assert why in end.detail
    pair.run()
    if kind is not FrameType.END:
        assert talk.answerer.last("cancel") is Reason.PROTOCOL
    talk.answer.end(Verdict.ERROR)
    other.answer.end(Verdict.ERROR)
    pair.run()
    assert other.asker.names() == ["end"]
    assert pair.asker.streams == 0


def body_ended(pair: Pair) -> Talk:
    talk = waiting(pair)
    talk.ask.end(Verdict.OK)
    pair.run()
    return talk


def body_trailed(pair: Pair) -> Talk:
    talk = waiting(pair)
    talk.ask.trailers(())
    pair.run()
    return talk


def bodyless(pair: Pair) -> Talk:
    return pair.open(body=False)


FROM_ASKER = [
    (waiting, FrameType.HEAD, HEAD, "HEAD when the response is waiting"),
    (waiting, FrameType.CANCEL, b"", "CANCEL without a reason"),
    (waiting, FrameType.END, b"\0", "END cannot be decoded"),
    (waiting, FrameType.DATA, b"x" * 65_537, "more than the window allows"),
    (waiting, FrameType.TRAILERS, b"\0", "TRAILERS cannot be decoded"),
    (bodyless, FrameType.DATA, b"x", "DATA when the request's body is none"),
    (bodyless, FrameType.END, END, "END when the request's body is none"),
    (body_ended, FrameType.DATA, b"x", "DATA when the request's body is ended"),
    (body_trailed, FrameType.DATA, b"x", "DATA when the request's body is trailed"),
    (waiting, FrameType.OPEN, b"\2", "OPEN when the response is waiting"),
]


@pytest.mark.parametrize(("state", "kind", "payload", "why"), FROM_ASKER)
def test_an_asker_that_breaks_a_rule_loses_its_stream(
    pair: Pair, state: Callable[[Pair], Talk], kind: FrameType, payload: bytes, why: str
) -> None:
    talk, other = state(pair), pair.open()
    pair.answerer.receive(frames.frame(kind, talk.ask.id, payload))
    assert talk.answerer.last("cancel") is Reason.PROTOCOL
    assert why in talk.answerer.events[-1][2]
    pair.run()
    assert talk.answerer.last_word == "closed"
    assert talk.asker.last("end").verdict is Verdict.PROTOCOL
    other.answer.end(Verdict.ERROR)
    pair.run()
    assert other.asker.names() == ["end"]
    pair.check()


def test_a_second_cancel_is_a_violation_that_the_sink_hears_of_no_more(pair: Pair) -> None:
    talk = pair.open()
    talk.ask.cancel(Reason.CLIENT_GONE)
    pair.run()
    pair.answerer.receive(frames.frame(FrameType.CANCEL, talk.ask.id, b"\1"))
    pair.run()
    assert talk.answerer.names()[-2:] == ["cancel", "closed"]
    pair.check()


@pytest.mark.parametrize("count", [3, 5])
def test_a_request_body_whose_end_lies_is_truncated(pair: Pair, count: int) -> None:
    talk = pair.open(body=True)
    talk.ask.write(b"four")
    pair.run()
    pair.answerer.receive(frames.frame(FrameType.END, talk.ask.id, frames.encode_end(End(Verdict.OK, count))))
    end = talk.answerer.last("end")
    assert (end.verdict, end.count) == (Verdict.TRUNCATED, 4)


def test_a_request_body_that_was_cut_short_says_so(pair: Pair) -> None:
    talk = pair.open(body=True)
    talk.ask.write(b"four")
    talk.ask.end(Verdict.TRUNCATED)
    pair.run()
    assert talk.answerer.last("end").verdict is Verdict.TRUNCATED


def test_a_verdict_of_a_later_version_is_no_success(pair: Pair) -> None:
    talk = streaming(pair)
    payload = b"\x63" + END[1:]
    pair.asker.receive(frames.frame(FrameType.END, talk.ask.id, payload))
    assert talk.asker.last("end").verdict is Verdict.ERROR


BAD_OPENS = [
    b"",
    b"\x03",
    b"\x02",
    frames.encode_open_request(request())[:40],
    frames.encode_open_request(request()) + b"!",
    b"\x02" + b"\xff" * 7 + b"\xfe" + frames.encode_open_request(request())[9:],
    frames.encode_open_request(request()).replace(b"0" * 26, b"\xff" * 26),
]


@pytest.mark.parametrize("payload", BAD_OPENS)
def test_an_open_that_cannot_be_read_ends_at_once_and_never_reaches_the_owner(pair: Pair, payload: bytes) -> None:
    stream, notes = pair.start()
    pair.ticks.run()
    pair.sides["asker" if pair.carrier == "link" else "answerer"].written.clear()
    acceptor = pair.answerer if pair.carrier == "link" else pair.asker
    acceptor.receive(frames.frame(FrameType.OPEN, stream.id, payload))
    pair.run()
    assert pair.acceptor.opened == []
    assert notes.last_word == ("end" if pair.carrier == "link" else "refuse")
    pair.check()


def test_an_open_of_the_other_carriers_kind_never_reaches_the_owner() -> None:
    link, socket = Pair("link"), Pair("socket")
    link.answerer.receive(frames.frame(FrameType.OPEN, 1, frames.encode_open_token(TOKEN)))
    socket.asker.receive(frames.frame(FrameType.OPEN, 1, frames.encode_open_request(request())))
    assert link.acceptor.opened == socket.acceptor.opened == []
    link.ticks.run()
    socket.ticks.run()
    assert link.answerer.streams == socket.asker.streams == 0


@pytest.mark.parametrize("payload", [b"", b"\1"])
def test_a_refusal_that_cannot_be_read_is_still_a_refusal(pair: Pair, payload: bytes) -> None:
    pair.on_open = lambda stream, what: None
    stream, notes = pair.start()
    pair.opener.receive(frames.frame(FrameType.REFUSE, stream.id, payload))
    assert notes.events == [("refuse", 503, "REFUSE without a code")]
    assert pair.opener.streams == 0


@pytest.mark.parametrize("payload", [b"", frames.encode_window(0, 0)])
def test_a_bridge_that_breaks_a_rule_before_it_is_let_in_hears_the_end(payload: bytes) -> None:
    pair = Pair("socket")
    pair.on_open = lambda stream, what: None
    stream, notes = pair.start()
    kind = FrameType.ACCEPT if not payload else FrameType.HEAD
    pair.answerer.receive(frames.frame(kind, stream.id, payload))
    pair.run()
    assert notes.names() == ["cancel", "closed"]
    pair.check()


def test_a_success_instead_of_an_acceptance_is_no_success() -> None:
    pair = Pair("socket")
    pair.on_open = lambda stream, what: None
    stream, _ = pair.start()
    pair.run()
    pair.asker.receive(frames.frame(FrameType.END, stream.id, END))
    assert pair.acceptor.opened[0][1].last("end").verdict is Verdict.PROTOCOL


def test_a_receiver_that_meets_a_violation_before_it_answered_refuses() -> None:
    pair = Pair("socket")
    pair.on_open = lambda stream, what: None
    stream, notes = pair.start()
    pair.run()
    pair.asker.receive(frames.frame(FrameType.HEAD, stream.id, HEAD))
    pair.run()
    assert notes.last("refuse") == 503
    assert pair.acceptor.opened[0][1].last("end").verdict is Verdict.PROTOCOL
    pair.check()


def test_a_late_smaller_window_is_passed_over(pair: Pair) -> None:
    talk = streaming(pair)
    pair.answerer.receive(frames.frame(FrameType.WINDOW, talk.answer.id, frames.encode_window(0, 10)))
    assert talk.answer.credit == 65_536
