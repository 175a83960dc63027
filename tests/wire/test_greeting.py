"""HELLO and PROOF: who may talk at all."""

import dataclasses

import pytest

from dialback_wire import frames
from dialback_wire.errors import FramingError, LocalError, ProofError
from dialback_wire.frames import FrameType
from dialback_wire.messages import Hello, Limits
from dialback_wire.mux import Mux
from dialback_wire.proof import NONCE_BYTES, prove, verify
from dialback_wire.tables import Seat

from .notes import Notes
from .pair import SEATS, Pair, request

GOOD = Hello(1, 0, Seat.EDGE, 128 * 1024, 64 * 1024, 100, b"", "test")
KEY = b"k" * 32


def hello(**changes: object) -> bytes:
    """A greeting of an edge, with changes."""
    return frames.frame(FrameType.HELLO, 0, frames.encode_hello(dataclasses.replace(GOOD, **changes)))  # type: ignore[arg-type]


@pytest.fixture
def link() -> Mux:
    """The invoker's end of a link that nobody has greeted."""
    return Pair("link", greet=False).answerer


def keyed(carrier: str, chop: int | None, ask: bytes | None, answer: bytes | None) -> Pair:
    """A pair whose ends have these keys; not greeted yet."""
    pair = Pair(carrier, chop, greet=False)
    for name, seat, key in zip(("asker", "answerer"), SEATS[carrier], (ask, answer), strict=True):
        nonce = name.encode().ljust(NONCE_BYTES, b"!") if key else b""
        setattr(pair, name, pair.mux(name, seat, key=key, nonce=nonce))
    return pair


def test_both_ends_learn_who_the_other_is_and_what_it_takes(carrier: str, chop: int | None) -> None:
    pair = Pair(carrier, chop, limits=Limits(max_frame=2048, window=9, max_streams=3), agent="tester")
    assert pair.asker.ready
    assert pair.answerer.ready
    assert pair.sides["asker"].ready == pair.sides["answerer"].ready == 1
    peer = pair.asker.peer
    assert peer is not None
    assert (peer.seat, peer.max_frame, peer.window, peer.max_streams) == (pair.answerer.seat, 2048, 9, 3)
    assert peer.agent == "tester"


def test_nothing_can_be_opened_before_the_greeting_or_after_the_loss() -> None:
    pair = Pair("link", greet=False)
    with pytest.raises(LocalError, match="no greeting yet"):
        pair.asker.open_request(request(), Notes(asks=True))
    pair.greet()
    pair.asker.lost("cut")
    with pytest.raises(LocalError, match="cut"):
        pair.asker.open_request(request(), Notes(asks=True))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (hello(seat=Seat.BRIDGE), "no place across"),
        (hello(seat=77), "no place across"),
        (hello(major=2), "speaks dialback/2"),
        (hello(max_frame=1023), "too small"),
        (hello(window=0), "too small"),
        (hello(nonce=b"short"), "nonce of 5 bytes"),
        (frames.frame(1, 0, b"GET / HTTP/1.1\r\n"), "does not speak dialback"),
        (frames.frame(1, 0, b""), "cannot be decoded"),
        (frames.frame(1, 0, frames.encode_hello(GOOD)[:20]), "cannot be decoded"),
        (frames.frame(1, 0, frames.encode_hello(GOOD)[:42]), "cannot be decoded"),
        (frames.frame(1, 0, frames.encode_hello(GOOD)[:42] + b"\x20abc"), "nonce is longer"),
        (frames.frame(1, 0, frames.encode_hello(GOOD) + b"\xff"), "cannot be decoded"),
        (frames.frame(1, 0, b"dialback\x01\x00\x01\x00\x00"), "cannot be decoded"),
        (frames.frame(FrameType.PING, 0), "not a greeting"),
        (frames.frame(FrameType.OPEN, 1), "before the greeting"),
        (b"GET / HTTP/1.1\r\n\r\n", "a frame of"),
        (frames.pack_header(1 << 24 | 1025, 0), "a frame of 1025 bytes; 1024 at most"),
        (hello() + hello(), "second greeting"),
        (hello() + frames.frame(FrameType.PROOF, 0, b"x" * 32), "nobody asked for"),
    ],
)
def test_a_wrong_greeting_closes_the_carrier(link: Mux, data: bytes, message: str) -> None:
    with pytest.raises(FramingError, match=message):
        link.receive(data)


def test_settings_of_a_later_minor_version_are_passed_over(link: Mux) -> None:
    payload = bytearray(frames.encode_hello(dataclasses.replace(GOOD, minor=9)))
    payload[11] += 1
    payload[42:42] = b"\x99\x99" + b"\1" * 8
    link.receive(frames.frame(FrameType.HELLO, 0, bytes(payload)))
    assert link.ready
    assert link.peer is not None
    assert link.peer.agent == "test"


def test_ends_that_share_a_key_become_ready(carrier: str, chop: int | None) -> None:
    pair = keyed(carrier, chop, KEY, KEY)
    pair.greet()
    assert pair.asker.ready
    assert pair.answerer.ready
    talk = pair.open()
    assert talk.ask.id == 1


@pytest.mark.parametrize(
    ("ask", "answer"),
    [(KEY, b"other"), (b"other", KEY), (KEY, None), (None, KEY)],
    ids=["1", "2", "3", "4"],
)
def test_ends_that_do_not_share_a_key_never_become_ready(
    carrier: str, chop: int | None, ask: bytes | None, answer: bytes | None
) -> None:
    pair = keyed(carrier, chop, ask, answer)
    with pytest.raises(ProofError):
        pair.greet()
    with pytest.raises(ProofError):
        pair.run()
    assert not pair.asker.ready
    assert not pair.answerer.ready


def test_streams_are_not_listened_to_before_the_proof() -> None:
    pair = keyed("link", None, None, KEY)
    pair.answerer.receive(hello(nonce=b"n" * NONCE_BYTES))
    with pytest.raises(FramingError, match="before the greeting"):
        pair.answerer.receive(frames.frame(FrameType.OPEN, 1, b""))


def test_large_frames_are_not_held_before_the_proof() -> None:
    pair = keyed("link", None, None, KEY)
    pair.answerer.receive(hello(nonce=b"n" * NONCE_BYTES))
    with pytest.raises(FramingError, match="1024 at most"):
        pair.answerer.receive(frames.pack_header(FrameType.PROOF << 24 | 1025, 0))


def test_a_proof_sent_back_to_where_it_came_from_proves_nothing() -> None:
    pair = keyed("link", None, None, KEY)
    victim, side = pair.answerer, pair.sides["answerer"]
    victim.start()
    pair.ticks.run()
    mirrored = frames.decode_hello(bytes(side.written[8:])).nonce
    side.written.clear()
    victim.receive(hello(nonce=mirrored))
    pair.ticks.run()
    with pytest.raises(ProofError):
        victim.receive(bytes(side.written))
    assert not victim.ready


def test_a_proof_of_another_session_proves_nothing() -> None:
    one, two, three = b"1" * 32, b"2" * 32, b"3" * 32
    proof = prove(KEY, Seat.EDGE, one, two)
    assert verify(proof, KEY, Seat.EDGE, two, one)
    assert not verify(proof, KEY, Seat.EDGE, three, one)
    assert not verify(proof, KEY, Seat.EDGE, two, three)
    assert not verify(proof, KEY, Seat.INVOKER_LINK, two, one)
    assert not verify(proof[:-1], KEY, Seat.EDGE, two, one)


@pytest.mark.parametrize(("key", "nonce"), [(KEY, b""), (None, b"n" * 32), (KEY, b"n")])
def test_a_key_needs_a_nonce_and_a_nonce_a_key(key: bytes | None, nonce: bytes) -> None:
    with pytest.raises(LocalError, match="nonce"):
        Pair("link", greet=False, key=key, nonce=nonce)
