"""Both ends driven with arbitrary calls in any order, over a carrier that delivers as it likes."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dialback_wire.errors import LocalError
from dialback_wire.flow import Budget
from dialback_wire.messages import Info, Limits, Reason, Refusal, Verdict
from dialback_wire.stream import Stream
from dialback_wire.tables import Response

from .notes import ILLEGAL, Notes
from .pair import OK_HEAD, Pair

SMALL = Limits(max_frame=1024, window=1000, max_window=8000, max_streams=6)
SIDES = st.sampled_from(["asker", "answerer"])
CALLS: dict[str, tuple[Any, ...]] = {
    "head": (OK_HEAD,),
    "info": (Info(103, ()),),
    "trailers": (((b"a", b"b"),),),
    "accept": (b"r",),
    "refuse": (Refusal.CONFLICT, "no"),
    "cancel": (Reason.CLIENT_GONE, "gone"),
    "invite": (),
}


class End:
    """One end of a stream and what was really accepted by `write` there."""

    def __init__(self, stream: Stream, notes: Notes, side: str) -> None:
        self.stream, self.notes, self.side = stream, notes, side
        self.written = bytearray()
        self.consumed = 0
        self.refused = False


class Talkers(RuleBasedStateMachine):
    """Calls that are not legal raise LocalError and change nothing, so any call may be tried at any time."""

    @initialize(carrier=st.sampled_from(["link", "socket"]), budget=st.sampled_from([0, 9_000, 10**6]))
    def greet(self, carrier: str, budget: int) -> None:
        ILLEGAL.clear()
        self.budgets = {"asker": Budget(budget), "answerer": Budget(budget)}
        self.pair = Pair(carrier, greet=False)
        self.pair.on_open = lambda stream, what: None
        self.pair.consume = False
        seats = {"asker": self.pair.asker.seat, "answerer": self.pair.answerer.seat}
        for side, seat in seats.items():
            setattr(self.pair, side, self.pair.mux(side, seat, limits=SMALL, budget=self.budgets[side]))
        self.pair.greet()
        self.ends: dict[tuple[str, int], End] = {}

    def _adopt(self) -> None:
        side = "answerer" if self.pair.carrier == "link" else "asker"
        for stream, notes in self.pair.acceptor.opened:
            self.ends.setdefault((side, stream.id), End(stream, notes, side))

    def _other(self, end: End) -> End | None:
        return self.ends.get(("answerer" if end.side == "asker" else "asker", end.stream.id))

    @rule(body=st.booleans())
    def open(self, body: bool) -> None:
        stream, notes = self.pair.start(body=body, consume=False)
        side = "asker" if self.pair.carrier == "link" else "answerer"
        self.ends[side, stream.id] = End(stream, notes, side)

    def _pick(self, data: st.DataObject) -> End:
        return self.ends[data.draw(st.sampled_from(sorted(self.ends)))]

    @precondition(lambda self: self.ends)
    @rule(data=st.data(), name=st.sampled_from(sorted(CALLS)))
    def call(self, data: st.DataObject, name: str) -> None:
        end = self._pick(data)
        try:
            before = end.stream.over
            getattr(end.stream, name)(*CALLS[name])
            # Who refuses is told nothing: it said so itself.
            end.refused |= name == "refuse" and end.stream.over and not before
        except LocalError:
            return

    @precondition(lambda self: self.ends)
    @rule(data=st.data(), size=st.integers(0, 5000))
    def write(self, data: st.DataObject, size: int) -> None:
        end = self._pick(data)
        piece = bytes((len(end.written) + n) % 251 for n in range(size))
        before = end.stream.queued
        try:
            end.stream.write(piece)
        except LocalError:
            assert end.stream.queued == before
            return
        end.written += piece[: end.stream.queued - before]

    @precondition(lambda self: self.ends)
    @rule(data=st.data(), size=st.sampled_from([0, 12, 990, 1000, 1001, 5000]))
    def answer(self, data: st.DataObject, size: int) -> None:
        end = self._pick(data)
        body = bytes((len(end.written) + n) % 251 for n in range(size))
        late = end.stream.over or end.stream.response is Response.CANCELLING
        try:
            end.stream.answer(OK_HEAD, body)
        except LocalError:
            return
        if not late:
            end.written += body

    @precondition(lambda self: self.ends)
    @rule(data=st.data(), verdict=st.sampled_from([Verdict.OK, Verdict.OK, Verdict.ERROR]))
    def end(self, data: st.DataObject, verdict: Verdict) -> None:
        try:
            self._pick(data).stream.end(verdict, status=500)
        except LocalError:
            return

    @precondition(lambda self: self.ends)
    @rule(data=st.data(), everything=st.booleans())
    def consume(self, data: st.DataObject, everything: bool) -> None:
        end = self._pick(data)
        owed = len(end.notes.data) - end.consumed
        count = owed if everything else data.draw(st.integers(0, owed))
        end.consumed += count
        end.stream.consumed(count)

    @rule(side=SIDES, size=st.integers(1, 4000))
    def deliver(self, side: str, size: int) -> None:
        written = self.pair.sides[side].written
        piece = bytes(written[:size])
        del written[:size]
        (self.pair.answerer if side == "asker" else self.pair.asker).receive(piece)
        self._adopt()

    @rule()
    def deliver_all(self) -> None:
        self.pair.run()
        self._adopt()

    @rule()
    def tick(self) -> None:
        self.pair.ticks.run()

    @rule(side=SIDES, paused=st.booleans())
    def pause(self, side: str, paused: bool) -> None:
        mux = getattr(self.pair, side)
        (mux.pause if paused else mux.resume)()

    @invariant()
    def nothing_that_must_not_happen_happens(self) -> None:
        assert ILLEGAL == []
        for side in self.pair.sides.values():
            assert side.errors == []

    @invariant()
    def bytes_arrive_in_order_and_within_credit(self) -> None:
        for end in self.ends.values():
            other = self._other(end)
            if other is not None:
                assert other.written.startswith(end.notes.data)
            window = end.stream._incoming
            assert window.received <= window.limit
            assert end.stream.over or window.limit - window.consumed <= SMALL.max_window
            assert end.stream.credit >= 0

    @invariant()
    def an_end_that_says_ok_is_true(self) -> None:
        for end in self.ends.values():
            told = [event[1] for event in end.notes.events if event[0] == "end"]
            for one in told:
                cancelled = end.notes.asks and "head" not in end.notes.names()
                if one.verdict is Verdict.OK and not cancelled and end.stream.response.value != "cancelling":
                    other = self._other(end)
                    assert other is not None
                    assert one.count == len(other.written)
                    # A cancelled asker stops listening, the count is still the truth.
                    assert len(end.notes.data) <= one.count

    @invariant()
    def the_budget_is_what_live_streams_have_taken(self) -> None:
        for side, budget in self.budgets.items():
            taken = sum(e.stream._incoming.size - SMALL.window for e in self.ends.values() if e.side == side)
            assert budget.total - budget.free == taken

    def teardown(self) -> None:
        if not hasattr(self, "pair"):
            return
        for mux in (self.pair.asker, self.pair.answerer):
            mux.resume()
        self.deliver_all()
        for end in list(self.ends.values()):
            if end.stream.response.value == "opening" and end.side == "asker":
                end.stream.refuse(Refusal.GONE, "over")
                end.refused = True
        self.deliver_all()
        for end in list(self.ends.values()):
            if end.side == "answerer":
                end.stream.end(Verdict.ERROR)
        for _ in range(400):
            self.deliver_all()
            for end in self.ends.values():
                owed = len(end.notes.data) - end.consumed
                end.consumed += owed
                end.stream.consumed(owed)
        self.nothing_that_must_not_happen_happens()
        assert all(end.notes.last_word or end.refused for end in self.ends.values())
        self.pair.check()


TestAnyOrder = Talkers.TestCase
TestAnyOrder.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
