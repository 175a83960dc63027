"""Invocations over the socket: INVOKE, DECLINE and DONE."""

import dataclasses
import struct
from typing import Any

import pytest

from dialback_wire import frames
from dialback_wire.errors import FramingError, LocalError
from dialback_wire.frames import FrameType
from dialback_wire.messages import Hello, Invoke, Limits
from dialback_wire.mux import Mux
from dialback_wire.tables import Seat

from .pair import SEATS, Pair

ID = "0123456789abcdefghjkmnpqrs"
INVOKE = Invoke(ID, 1_790_000_000_123, b'{"version":"2.0"}')


class Tunnel:
    """A socket's two ends, and what they were told."""

    def __init__(self, chop: int | None = None, **both: Any) -> None:
        self.invoked: list[Invoke] = []
        self.declined: list[str] = []
        self.done: list[str] = []
        self.pair = Pair("socket", chop, greet=False, **both)
        asker, answerer = SEATS["socket"]
        self.receiver = self.pair.asker = self.pair.mux(
            "asker", asker, on_declined=self.declined.append, on_done=self.done.append, **both
        )
        self.bridge = self.pair.answerer = self.pair.mux("answerer", answerer, on_invoke=self.invoked.append, **both)
        self.pair.greet()


@pytest.mark.parametrize("chop", [None, 1, 7])
def test_an_invocation_goes_down_the_socket_and_its_end_comes_back(chop: int | None) -> None:
    tunnel = Tunnel(chop)
    assert tunnel.receiver.takes(INVOKE)
    tunnel.receiver.invoke(INVOKE)
    tunnel.pair.run()
    assert tunnel.invoked == [INVOKE]
    tunnel.bridge.done(ID)
    tunnel.bridge.decline("other")
    tunnel.pair.run()
    assert (tunnel.done, tunnel.declined) == ([ID], ["other"])


def test_an_end_of_an_earlier_minor_version_is_not_invoked() -> None:
    tunnel = Tunnel()
    assert tunnel.receiver.peer is not None
    tunnel.receiver.peer = dataclasses.replace(tunnel.receiver.peer, minor=0)
    assert not tunnel.receiver.takes(INVOKE)


def test_nothing_is_invoked_before_the_greeting_or_on_the_way_out() -> None:
    pair = Pair("socket", greet=False)
    assert not pair.asker.takes(INVOKE)
    pair.greet()
    pair.answerer.go_away("retired")
    pair.run()
    assert not pair.asker.takes(INVOKE)


def test_an_event_that_is_larger_than_a_frame_goes_another_way() -> None:
    tunnel = Tunnel(limits=Limits(max_frame=2048))
    assert tunnel.receiver.takes(Invoke(ID, 0, b"x" * 1900))
    large = Invoke(ID, 0, b"x" * 2049)
    assert not tunnel.receiver.takes(large)
    with pytest.raises(LocalError, match="2048 at most"):
        tunnel.receiver.invoke(large)


@pytest.mark.parametrize("seat", [seat for seat in Seat if seat is not Seat.INVOKER_RECEIVER])
def test_only_a_receiver_invokes(seat: Seat) -> None:
    with pytest.raises(LocalError, match="invokes nothing"):
        Mux(seat, write=lambda _: None, defer=lambda _: None).invoke(INVOKE)


@pytest.mark.parametrize("kind", [FrameType.INVOKE, FrameType.DECLINE, FrameType.DONE])
@pytest.mark.parametrize("seat", list(Seat))
def test_a_seat_that_takes_no_such_frame_passes_it_over(seat: Seat, kind: FrameType) -> None:
    takes = seat is (Seat.BRIDGE if kind is FrameType.INVOKE else Seat.INVOKER_RECEIVER)
    told: list[object] = []
    mux = Mux(
        seat,
        write=lambda _: None,
        defer=lambda _: None,
        on_invoke=told.append,
        on_declined=told.append,
        on_done=told.append,
    )
    mux.receive(frames.frame(FrameType.HELLO, 0, frames.encode_hello(Hello(1, 1, seat.peer, 65536, 65536, 10))))
    payload = frames.encode_invoke(INVOKE) if kind is FrameType.INVOKE else ID.encode()
    mux.receive(frames.frame(kind, 0, payload))
    assert len(told) == takes


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "cannot be decoded"),
        (b"\0" * 8, "cannot be decoded"),
        (b"\0" * 9, "without a whole id"),
        (struct.pack("!QB", 0, 26) + b"short", "without a whole id"),
        (struct.pack("!QB", 0, 1) + b"\xff", "cannot be decoded"),
    ],
)
def test_an_invocation_that_cannot_be_read_closes_the_socket(payload: bytes, why: str) -> None:
    tunnel = Tunnel()
    with pytest.raises(FramingError, match=why):
        tunnel.bridge.receive(frames.frame(FrameType.INVOKE, 0, payload))


@pytest.mark.parametrize("kind", [FrameType.DECLINE, FrameType.DONE])
def test_an_id_that_is_not_ascii_closes_the_socket(kind: FrameType) -> None:
    tunnel = Tunnel()
    with pytest.raises(FramingError, match="not ASCII"):
        tunnel.receiver.receive(frames.frame(kind, 0, b"\xff"))
