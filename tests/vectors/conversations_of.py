"""Vectors of whole conversations: what one end is given, what it tells and what it sends."""

from typing import Any

from dialback_wire import frames
from dialback_wire.flow import Budget
from dialback_wire.frames import FrameType
from dialback_wire.messages import Accept, End, Head, Hello, Info, Limits, Reason, Request, Verdict
from dialback_wire.mux import Mux
from dialback_wire.proof import prove
from dialback_wire.sink import StreamSink
from dialback_wire.stream import Stream
from dialback_wire.tables import Seat

from .frames_of import REQUEST, TOKEN, text

KEY = b"correct horse battery staple"
LIMITS = Limits(max_frame=2048, window=1000, max_window=1000, max_streams=10)
NONCES = {seat: bytes([seat]) * 32 for seat in Seat}


class Teller:
    """A sink that turns every call but `on_sent` into JSON."""

    def __init__(self, script: "Script", number: int) -> None:
        self.script, self.number = script, number

    def __getattr__(self, name: str) -> Any:
        def call(*values: Any) -> None:
            if name != "on_sent":
                self.script.events.append([name[3:], self.number, *map(_json, values)])

        return call


def _json(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Reason):
        return value.name
    if isinstance(value, End):
        return {"verdict": value.verdict.name, "count": value.count, "status": value.status, "code": value.code}
    if isinstance(value, Head | Info):
        return {"status": value.status, "fields": [[text(n), text(v)] for n, v in value.fields]}
    if isinstance(value, Accept):
        return {"resume": value.resume_token.hex(), "body": value.body}
    return value


class Script:
    """One end of a carrier, and the steps it went through. `piece`: how many bytes come at once (None: all)."""

    piece: int | None = None

    def __init__(self, name: str, seat: Seat, *, key: bytes | None = None) -> None:
        self.steps: list[dict[str, Any]] = []
        self.events: list[list[Any]] = []
        self.sent = bytearray()
        self.streams: dict[int, Stream] = {}
        self.deferred: list[Any] = []
        self.head = {"name": name, "seat": seat.name, "key": key.decode() if key else None}
        self.mux = Mux(
            seat,
            write=self.sent.extend,
            defer=self.deferred.append,
            on_ready=lambda: self.events.append(["ready"]),
            on_going_away=lambda reason: self.events.append(["going_away", reason]),
            key=key,
            nonce=NONCES[seat] if key else b"",
            limits=LIMITS,
            budget=Budget(0),
            **({} if seat.opens else {"on_open": self._opened}),
        )
        self._step("start", None, self.mux.start)

    def _opened(self, stream: Stream, what: Request | bytes) -> StreamSink:
        self.streams[stream.id] = stream
        told = {"token": text(what)} if isinstance(what, bytes) else {"target": text(what.target), "id": what.id}
        self.events.append(["open", stream.id, told])
        return Teller(self, stream.id)

    def _step(self, what: str, value: Any, action: Any) -> None:
        action()
        while self.deferred:
            self.deferred.pop(0)()
        step: dict[str, Any] = {what: value, "events": self.events[:], "sends": self.sent.hex()}
        self.steps.append(step)
        self.events.clear()
        self.sent.clear()

    def receive(self, *whole: bytes) -> "Script":
        """Bytes come."""
        data = b"".join(whole)

        def action() -> None:
            size = self.piece or len(data)
            for at in range(0, len(data), size):
                self.mux.receive(data[at : at + size])

        self._step("receive", data.hex(), action)
        return self

    def greeted(self, *, nonce: bytes = b"", minor: int = 0) -> "Script":
        """The other side's greeting comes."""
        hello = Hello(1, minor, self.mux.seat.peer, 2048, 1000, 10, nonce)
        return self.receive(frames.frame(FrameType.HELLO, 0, frames.encode_hello(hello)))

    def open(self) -> "Script":
        """Open a stream, the first is 1."""
        number = len(self.streams) + 1

        def action() -> None:
            sink = Teller(self, number)
            edge = self.mux.seat is Seat.EDGE
            self.streams[number] = self.mux.open_request(REQUEST, sink) if edge else self.mux.open_token(TOKEN, sink)

        self._step("call", ["open", number], action)
        return self

    def call(self, name: str, number: int, *values: Any, **named: Any) -> "Script":
        """The owner of a stream calls a method."""
        shown = [_json(value) if not isinstance(value, Verdict) else value.name for value in values]
        method = getattr(self.streams[number], name)
        self._step("call", [name, number, *shown, *named.values()], lambda: method(*values, **named))
        return self

    def done(self) -> dict[str, Any]:
        """As JSON."""
        return {**self.head, "steps": self.steps}


def said(kind: FrameType, payload: bytes = b"", stream: int = 1) -> bytes:
    """A frame from the other side."""
    return frames.frame(kind, stream, payload)


HEAD = said(FrameType.HEAD, frames.encode_head(Head(200, ((b"content-type", b"text/plain"),))))
OK_HEAD = Head(200, ((b"content-type", b"text/plain"),))


def end(verdict: Verdict, count: int) -> bytes:
    """An END on stream 1."""
    return said(FrameType.END, frames.encode_end(End(verdict, count)))


def all_of_them() -> list[dict[str, Any]]:
    """The conversations."""
    accept = said(FrameType.ACCEPT, frames.encode_accept(Accept(b"resume", True)))
    token = said(FrameType.OPEN, frames.encode_open_token(TOKEN))
    answer = said(FrameType.ANSWER, frames.encode_answer(OK_HEAD, b"all of it"))
    proof = prove(KEY, Seat.INVOKER_LINK, NONCES[Seat.INVOKER_LINK], NONCES[Seat.EDGE])
    return [
        Script("an edge relays a request and its body, and takes the response", Seat.EDGE)
        .greeted()
        .open()
        .call("write", 1, b"hello")
        .call("end", 1, Verdict.OK)
        .receive(HEAD, said(FrameType.DATA, b"one"), said(FrameType.DATA, b"two"), end(Verdict.OK, 6))
        .done(),
        Script("a link with a key", Seat.EDGE, key=KEY)
        .greeted(nonce=NONCES[Seat.INVOKER_LINK])
        .receive(said(FrameType.PROOF, proof, 0))
        .open()
        .done(),
        Script("an invoker answers an edge that cancels", Seat.INVOKER_LINK)
        .greeted()
        .receive(said(FrameType.OPEN, frames.encode_open_request(REQUEST)))
        .call("head", 1, OK_HEAD)
        .receive(said(FrameType.CANCEL, frames.encode_cancel(Reason.CLIENT_GONE, "left")))
        .call("write", 1, b"too late")
        .call("end", 1, Verdict.OK)
        .done(),
        Script("a bridge presents its token, takes a body and answers within its credit", Seat.BRIDGE)
        .greeted()
        .open()
        .receive(accept, said(FrameType.DATA, b"body"), end(Verdict.OK, 4))
        .call("head", 1, OK_HEAD)
        .call("write", 1, b"x" * 1500)
        .call("end", 1, Verdict.OK)
        .receive(said(FrameType.WINDOW, frames.encode_window(1000, 2000)))
        .done(),
        Script("a bridge answers at once an end that knows ANSWER", Seat.BRIDGE)
        .greeted(minor=2)
        .open()
        .receive(accept)
        .call("answer", 1, OK_HEAD, b"all of it")
        .receive(said(FrameType.CANCEL, frames.encode_cancel(Reason.CLIENT_GONE, "")))
        .done(),
        Script("a bridge answers at once an end that does not know ANSWER", Seat.BRIDGE)
        .greeted(minor=1)
        .open()
        .receive(accept)
        .call("answer", 1, OK_HEAD, b"all of it")
        .done(),
        Script("a whole response is larger than the credit", Seat.BRIDGE)
        .greeted(minor=2)
        .open()
        .receive(accept)
        .call("answer", 1, OK_HEAD, b"x" * 1001)
        .receive(said(FrameType.WINDOW, frames.encode_window(1000, 2000)))
        .done(),
        Script("an edge takes a whole response", Seat.EDGE).greeted(minor=2).open().receive(answer).done(),
        Script("a whole response crosses a cancel", Seat.EDGE)
        .greeted(minor=2)
        .open()
        .call("cancel", 1, Reason.CLIENT_GONE)
        .receive(answer)
        .done(),
        Script("a bridge is refused", Seat.BRIDGE)
        .greeted()
        .open()
        .receive(said(FrameType.REFUSE, frames.encode_refuse(410, "too late")))
        .done(),
        Script("a cancel overtakes an end that waits for credit", Seat.BRIDGE)
        .greeted()
        .open()
        .receive(accept)
        .call("head", 1, OK_HEAD)
        .call("write", 1, b"x" * 1500)
        .call("end", 1, Verdict.OK)
        .receive(said(FrameType.CANCEL, frames.encode_cancel(Reason.CLIENT_GONE, "")))
        .done(),
        Script("a receiver lets a bridge in and grants credit as its client reads", Seat.INVOKER_RECEIVER)
        .greeted()
        .receive(token)
        .call("accept", 1, b"resume")
        .receive(HEAD, said(FrameType.DATA, b"x" * 1000))
        .call("consumed", 1, 499)
        .call("consumed", 1, 1)
        .call("consumed", 1, 500)
        .receive(said(FrameType.DATA, b"y"), end(Verdict.OK, 1001))
        .done(),
        Script("frames that cross a cancel are passed over", Seat.INVOKER_RECEIVER)
        .greeted()
        .receive(token)
        .call("accept", 1, b"resume")
        .call("cancel", 1, Reason.TIMEOUT_HEAD)
        .receive(HEAD, said(FrameType.DATA, b"late"), end(Verdict.CANCELLED, 4))
        .done(),
        Script("a violation resets its stream and no other", Seat.INVOKER_RECEIVER)
        .greeted()
        .receive(token, said(FrameType.OPEN, frames.encode_open_token(TOKEN), 2))
        .call("accept", 1, b"")
        .call("accept", 2, b"")
        .receive(said(FrameType.DATA, b"before the head"))
        .receive(said(FrameType.HEAD, frames.encode_head(OK_HEAD), 2), said(FrameType.DATA, b"fine", 2))
        .receive(end(Verdict.CANCELLED, 15), said(FrameType.END, frames.encode_end(End(Verdict.OK, 4)), 2))
        .done(),
        Script("an end before the head brings the status", Seat.EDGE)
        .greeted()
        .open()
        .receive(said(FrameType.END, frames.encode_end(End(Verdict.OVERLOAD, 0, 503, "queue_full", "", 1))))
        .done(),
        Script("pings are answered, going away is told, later frames are ignored", Seat.EDGE)
        .greeted()
        .receive(said(FrameType.PING, b"12345678", 0), said(FrameType.GOING_AWAY, b"deploying", 0))
        .receive(frames.frame(0x0E, 0, b"later"), frames.frame(0x3E, 1, b"later"))
        .done(),
    ]
