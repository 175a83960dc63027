"""Fuzzes one end of a carrier: `python -m tests.wire.fuzz_mux --seed 1 --seconds 60`.

The invariant, for every seat, whatever bytes come in whatever pieces:

1. `receive` raises nothing but FramingError.
2. No sink hears a call that must not come, and each hears one last word when the carrier is lost.
3. Memory stays within bounds: one incomplete frame, a bounded queue of control frames, at most `max_streams` streams,
   and the whole budget comes back.
4. While the framing is intact, a stream that keeps the rules is not disturbed by those that do not.

Two ways: `framed` sends whole frames with arbitrary types, streams and payloads between those of one well-behaved
stream (1-4); `raw` sends a valid conversation with bytes flipped, cut, doubled and inserted (1-3).
"""

import argparse
import random
import time
from typing import Any

from dialback_wire import frames
from dialback_wire.errors import FramingError, LocalError
from dialback_wire.flow import Budget
from dialback_wire.frames import FrameType
from dialback_wire.messages import Accept, End, Head, Hello, Info, Limits, Reason, Refusal, Request, Verdict
from dialback_wire.mux import Mux
from dialback_wire.stream import Stream
from dialback_wire.tables import Seat

from .notes import ILLEGAL, Notes
from .pair import OK_HEAD, TOKEN, Ticks, request

LIMITS = Limits(max_frame=4096, window=2000, max_window=8000, max_streams=8)
WITNESS = 1
PIECES = 12


class Wild(Notes):
    """A sink that answers what it hears with arbitrary calls, and sometimes raises."""

    def __init__(self, rng: random.Random, *, asks: bool) -> None:
        super().__init__(asks=asks, consume=False)
        self.rng = rng

    def _heard(self, name: str, *values: Any) -> None:
        super()._heard(name, *values)
        stream = self.stream
        if stream is None or self.rng.random() < 0.5:
            return
        calls = (
            lambda: stream.cancel(Reason.CLIENT_GONE),
            lambda: stream.end(Verdict.ERROR),
            lambda: stream.head(OK_HEAD),
            lambda: stream.write(b"w" * 700),
            lambda: stream.answer(OK_HEAD, b"w" * 700),
            lambda: stream.consumed(values[0] if name == "data" else 0),
            lambda: stream.refuse(Refusal.GONE, "no"),
            stream.invite,
            lambda: 1 / 0,
        )
        try:
            self.rng.choice(calls)()
        except LocalError:
            return
        except ZeroDivisionError:
            if name == "answer":
                # Whoever raises has not taken it as the last word.
                self.last_word = ""
            raise


class Target:
    """The end that is fuzzed."""

    def __init__(self, seat: Seat, rng: random.Random) -> None:
        self.rng = rng
        self.seat = seat
        self.ticks = Ticks()
        self.budget = Budget(10_000)
        self.sinks: list[tuple[Stream, Notes]] = []
        self.mux = Mux(
            seat,
            write=lambda _: None,
            defer=self.ticks,
            limits=LIMITS,
            budget=self.budget,
            **({} if seat.opens else {"on_open": self.opened}),
        )
        self.mux.start()

    def opened(self, stream: Stream, what: Request | bytes) -> Notes:
        """Let in, refuse, or leave for later."""
        witness = stream.id == WITNESS
        sink: Notes = Notes(asks=self.seat.asks) if witness else Wild(self.rng, asks=self.seat.asks)
        sink.stream = stream
        if isinstance(what, bytes) and (witness or self.rng.random() < 0.7):
            stream.accept(b"r", body=self.rng.random() < 0.5)
        self.sinks.append((stream, sink))
        return sink

    def open_some(self) -> None:
        """Streams of our own, where this seat opens; the first is the witness."""
        for number in range(1, 6):
            witness = number == WITNESS
            sink: Notes = Notes(asks=self.seat.asks) if witness else Wild(self.rng, asks=self.seat.asks)
            if self.seat is Seat.EDGE:
                sink.stream = self.mux.open_request(request(None), sink)
            else:
                sink.stream = self.mux.open_token(TOKEN, sink)
            self.sinks.append((sink.stream, sink))

    def feed(self, data: bytes) -> None:
        """Deliver `data` in pieces; raises FramingError, or AssertionError when memory is out of bounds."""
        at = 0
        while at < len(data):
            size = self.rng.choice((1, 7, 100, 5000))
            self.mux.receive(data[at : at + size])
            at += size
            if self.rng.random() < 0.7:
                self.ticks.run()
            assert self.mux._reader.held <= LIMITS.max_frame + frames.HEADER_BYTES
            assert len(self.mux.outlet) <= 20_000
            assert len(self.mux._streams) <= max(LIMITS.max_streams, 5)

    def finish(self) -> None:
        """The carrier goes; everybody has had the last word and everything is given back."""
        self.mux.lost("over")
        self.ticks.run()
        assert self.mux.streams == 0
        assert self.budget.free == self.budget.total
        assert ILLEGAL == [], ILLEGAL


def hello(seat: Seat) -> bytes:
    """The greeting of the end across from `seat`."""
    return frames.frame(FrameType.HELLO, 0, frames.encode_hello(Hello(1, 0, seat.peer, 65536, 5000, 100)))


def opening(seat: Seat, stream: int) -> bytes:
    """An OPEN that `seat` takes."""
    payload = frames.encode_open_token(TOKEN) if seat.asks else frames.encode_open_request(request(None))
    return frames.frame(FrameType.OPEN, stream, payload)


def witness_frames(seat: Seat) -> list[bytes]:
    """What a well-behaved peer says on the witness, up to the end of its direction."""
    said = [] if seat.opens else [opening(seat, WITNESS)]
    if seat is Seat.BRIDGE:
        said.append(frames.frame(FrameType.ACCEPT, WITNESS, frames.encode_accept(Accept(b"r", True))))
    if seat.asks:
        said.append(frames.frame(FrameType.HEAD, WITNESS, frames.encode_head(OK_HEAD)))
    said += [frames.frame(FrameType.DATA, WITNESS, b"ok" * 50)] * PIECES
    said.append(frames.frame(FrameType.END, WITNESS, frames.encode_end(End(Verdict.OK, 100 * PIECES))))
    return said


def payload(rng: random.Random, kind: int) -> bytes:
    """A valid, mutated or arbitrary payload."""
    valid = {
        FrameType.PING: b"p",
        FrameType.OPEN: rng.choice((frames.encode_open_token(TOKEN), frames.encode_open_request(request(None)))),
        FrameType.ACCEPT: frames.encode_accept(Accept(b"r", rng.random() < 0.5)),
        FrameType.REFUSE: frames.encode_refuse(409, "no"),
        FrameType.INFO: frames.encode_head(Info(103, ())),
        FrameType.HEAD: frames.encode_head(Head(200, ((b"a", b"b"),))),
        FrameType.DATA: b"d" * rng.choice((0, 1, 700, 3000)),
        FrameType.TRAILERS: frames.encode_fields(((b"a", b"b"),)),
        FrameType.END: frames.encode_end(End(rng.choice(list(Verdict)), rng.choice((0, 1, 700)))),
        FrameType.CANCEL: frames.encode_cancel(rng.choice(list(Reason)), "x"),
        FrameType.ANSWER: frames.encode_answer(OK_HEAD, b"d" * rng.choice((0, 1, 700, 3000))),
        FrameType.WINDOW: frames.encode_window(rng.choice((0, 700)), rng.choice((0, 3000, 2**63))),
    }.get(kind, b"")  # type: ignore[call-overload]
    if rng.random() < 0.6:
        return valid
    if rng.random() < 0.5:
        return mutated(rng, valid)[: LIMITS.max_frame]
    return rng.randbytes(rng.choice((0, 1, 20, 300)))


def mutated(rng: random.Random, data: bytes) -> bytes:
    """`data` with a few bytes flipped, cut, doubled or inserted."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(out))
        length = rng.choice((1, 2, 8, 40))
        change = rng.randrange(4)
        if change == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif change == 1:
            del out[at : at + length]
        elif change == 2:
            out[at:at] = out[at : at + length]
        else:
            out[at:at] = rng.randbytes(length)
    return bytes(out)


def arbitrary(rng: random.Random, seat: Seat, count: int) -> list[bytes]:
    """Whole frames, of any type on any stream but the witness."""
    kinds = [int(kind) for kind in FrameType if kind >= FrameType.OPEN] + [0x0F, 0x1F, 0xFF]
    said = []
    for _ in range(count):
        stream = rng.choice((2, 3, 4, 5, 6, 7, 8, 9, 2**31, 2**32 - 1))
        kind = rng.choice(kinds)
        said.append(frames.frame(kind, stream, payload(rng, kind)))
        if rng.random() < 0.1:
            said.append(frames.frame(rng.choice((3, 4, 5, 0x0F, 0x15, 0xFF)), 0, rng.randbytes(rng.randrange(64))))
        if rng.random() < 0.2 and not seat.opens:
            said.append(opening(seat, rng.randrange(2, 40)))
    return said


def framed(rng: random.Random) -> None:
    """Intact framing: the witness is not disturbed."""
    seat = rng.choice(list(Seat))
    target = Target(seat, rng)
    target.feed(hello(seat))
    if seat.opens:
        target.open_some()
    said = witness_frames(seat)
    if seat.opens:
        # Behind the witness's OPEN everything may go wrong; for seats that are opened to, the witness comes first.
        said = [b"", *said]
    target.feed(said[0])
    for one in said[1:]:
        target.feed(b"".join(arbitrary(rng, seat, rng.randrange(12))))
        target.feed(one)
    sink = next(notes for stream, notes in target.sinks if stream.id == WITNESS)
    assert sink.data == b"ok" * 50 * PIECES, sink.names()
    assert sink.last("end").verdict is Verdict.OK
    target.finish()
    for stream, notes in target.sinks:
        assert notes.last_word or stream.over


def raw(rng: random.Random) -> None:
    """Broken framing: nothing but FramingError."""
    seat = rng.choice(list(Seat))
    target = Target(seat, rng)
    said = b"".join([hello(seat), *witness_frames(seat), *arbitrary(rng, seat, 20)])
    keep = rng.choice((0, len(hello(seat))))
    try:
        target.feed(said[:keep])
        if keep and seat.opens:
            target.open_some()
        target.feed(rng.randbytes(300) if rng.random() < 0.1 else mutated(rng, said[keep:]))
    except FramingError:
        pass
    target.finish()


def run(seed: int, *, rounds: int = 0, seconds: float = 0.0) -> int:
    """So many rounds, or for so long. Returns how many were run; raises with the seed of the round that failed."""
    stop = time.monotonic() + seconds
    done = 0
    while done < rounds or time.monotonic() < stop:
        ILLEGAL.clear()
        rng = random.Random(f"{seed}/{done}")
        way = rng.choice((framed, raw))
        try:
            way(rng)
        except Exception as error:
            raise AssertionError(f"{way.__name__}, seed {seed}, round {done}: {error!r}") from error
        done += 1
    return done


def main() -> None:
    """Fuzz for a while."""
    parser = argparse.ArgumentParser(description="Fuzz the wire protocol's mux.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    print(f"{run(arguments.seed, seconds=arguments.seconds)} rounds, the invariant held")


if __name__ == "__main__":
    main()
