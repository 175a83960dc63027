"""Admission, pending tokens, tickets, the timeline, time-outs: each on its own, with a clock of the test."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from dialback_invoker.admission import Admission
from dialback_invoker.detail_budget import DetailBudget
from dialback_invoker.errors import Overloaded
from dialback_invoker.exchange import Exchange
from dialback_invoker.function_config import Timeouts
from dialback_invoker.outcome import Outcome, timed_out
from dialback_invoker.pending import REMEMBERED, PendingTable, Refused
from dialback_invoker.settings import InvokerSettings
from dialback_invoker.tickets import GOOD_FOR_SECONDS, Feed, Tickets
from dialback_invoker.timeline import KEPT_FRAMES, SHOWN_GAPS, Timeline
from dialback_invoker.timeouts import SOON, Deadlines, Newcomers
from dialback_invoker.trace import Invocation
from dialback_wire.frames import FrameType
from dialback_wire.messages import Reason, Refusal, Verdict


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


# --- admission ------------------------------------------------------------------------------------------------------


def test_admission_refuses_beyond_its_limits_and_lets_in_again_afterwards() -> None:
    admission = Admission(queue=1, in_flight=2)
    admission.admit()
    admission.admit()
    with pytest.raises(Overloaded, match="2 requests are being served"):
        admission.admit()
    with admission.queued("f"):
        with pytest.raises(Overloaded, match="1 requests wait for f") as refused, admission.queued("f"):
            raise AssertionError
        assert refused.value.retry_after >= 1
        with admission.queued("g"):
            assert admission.waiting == 2
    assert admission.waiting == 0
    admission.leave()
    admission.leave()
    assert admission.in_flight == 0
    admission.admit()
    with admission.queued("f"):
        assert (admission.in_flight, admission.waiting) == (1, 1)


# --- pending --------------------------------------------------------------------------------------------------------


def an_id(number: int) -> str:
    return f"{number:026d}"


def pending_table() -> PendingTable:
    return PendingTable("here", random=lambda size: bytes(range(size)))


def mint(table: PendingTable, number: int, worker: str = "w") -> bytes:
    return table.mint(an_id(number), worker, cast(Exchange, object()))


def refusal(table: PendingTable, token: bytes, worker: str = "w") -> Refusal:
    with pytest.raises(Refused) as refused:
        table.take(token, worker)
    return refused.value.code


def test_a_token_goes_from_pending_to_attached_to_ended() -> None:
    table = pending_table()
    token = mint(table, 1)
    assert table.check(token).worker == "w"
    assert table.check(token).attached is False
    assert table.take(token, "w").attached is True
    assert refusal(table, token) is Refusal.CONFLICT
    table.end(an_id(1))
    assert refusal(table, token) is Refusal.GONE
    assert len(table) == 0
    assert table.refused == {Refusal.UNAUTHORIZED: 0, Refusal.CONFLICT: 1, Refusal.GONE: 1}


def test_another_worker_another_receiver_and_a_wrong_secret_are_all_401() -> None:
    table = pending_table()
    token = mint(table, 1)
    foreign = PendingTable("there", random=lambda size: bytes(range(size))).mint(
        an_id(1), "w", cast(Exchange, object())
    )
    for presented, worker in ((token, "v"), (foreign, "w"), (token[:-1] + b"0", "w"), (b"", "w"), (b"\xff", "w")):
        assert refusal(table, presented, worker) is Refusal.UNAUTHORIZED
    assert table.refused[Refusal.UNAUTHORIZED] == 5
    assert table.take(token, "w").attached is True


def test_ended_tokens_are_remembered_up_to_a_number() -> None:
    table = pending_table()
    tokens = [mint(table, number) for number in range(REMEMBERED + 1)]
    for number in range(REMEMBERED + 1):
        table.end(an_id(number))
    table.end("nobody")
    assert refusal(table, tokens[0]) is Refusal.UNAUTHORIZED
    assert refusal(table, tokens[1]) is Refusal.GONE


# --- tickets --------------------------------------------------------------------------------------------------------


@dataclass
class FakeExchange:
    timeline: Timeline = field(default_factory=Timeline)


@dataclass
class FakeRequest:
    id: str


@dataclass
class FakeInvocation:
    request: FakeRequest
    exchange: FakeExchange = field(default_factory=FakeExchange)
    outcome: Outcome | None = None


def an_invocation(number: int = 1) -> Invocation:
    return cast(Invocation, FakeInvocation(FakeRequest(an_id(number))))


async def frames_of(feed: Any) -> list[str]:
    async def read() -> list[str]:
        return [frame.type async for frame in feed]

    return await asyncio.wait_for(read(), 30)


async def test_a_ticket_is_good_for_one_request_and_its_feed_sees_every_frame() -> None:
    tickets = Tickets()
    text = tickets.mint("chat", "buffered")
    feed = tickets.subscribe(text)
    ticket = tickets.redeem(text)
    assert ticket is not None
    assert (ticket.function, ticket.mode) == ("chat", "buffered")
    assert tickets.redeem(text) is None
    invocation = an_invocation()
    invocation.exchange.timeline.frame("link", "down", 1, "OPEN", 10)
    ticket.watch(invocation)
    invocation.exchange.timeline.frame("link", "up", 1, "HEAD", 10)
    tickets.ended(an_invocation(2))
    tickets.ended(invocation)
    invocation.exchange.timeline.frame("link", "up", 1, "DATA", 10)
    assert await frames_of(feed) == ["OPEN", "HEAD"]


async def test_a_ticket_without_a_watcher_works_too() -> None:
    tickets = Tickets()
    ticket = tickets.redeem(tickets.mint("chat", "callback"))
    assert ticket is not None
    ticket.watch(an_invocation())
    tickets.ended(an_invocation())


async def test_tickets_end_after_a_minute_and_unknown_ones_give_an_empty_feed() -> None:
    clock = Clock()
    tickets = Tickets(clock)
    text = tickets.mint("chat", "buffered")
    clock.now += GOOD_FOR_SECONDS + 1
    tickets.mint("other", "buffered")
    assert tickets.redeem(text) is None
    again = tickets.mint("chat", "buffered")
    clock.now += GOOD_FOR_SECONDS + 1
    assert tickets.redeem(again) is None
    assert await frames_of(tickets.subscribe("run_nobody")) == []


async def test_a_watcher_that_does_not_keep_up_misses_frames_and_still_ends() -> None:
    feed, invocation = Feed(), an_invocation()
    feed.watch(invocation)
    for _ in range(5000):
        invocation.exchange.timeline.frame("link", "up", 1, "DATA", 1)
    feed.ended(invocation)
    feed.close()
    assert 0 < len(await frames_of(feed)) < 5000


# --- timeline -------------------------------------------------------------------------------------------------------


def test_marks_count_once_and_come_in_order() -> None:
    clock = Clock()
    timeline = Timeline(0.5, clock)
    timeline.mark("admitted")
    clock.now += 1
    timeline.mark("admitted")
    timeline.mark("end")
    assert timeline.marks() == [
        {"name": "received", "t": 0.0},
        {"name": "admitted", "t": 500.0},
        {"name": "end", "t": 1500.0},
    ]
    assert timeline.at("end") == 1500.0
    assert timeline.at("head") is None
    assert timeline.moments["end"] - timeline.moments["admitted"] == 1.0
    assert "head" not in timeline.moments


def test_gaps_keep_the_first_and_last_few_and_count_all() -> None:
    clock = Clock()
    timeline = Timeline(0.0, clock)
    timeline.mark_last_byte()
    assert timeline.at("last_byte") is None
    for number in range(40):
        clock.now += 20 if number == 39 else 0.0045
        timeline.gaps.chunk(clock.now)
    shown = cast(dict[str, Any], timeline.gaps.as_dict())
    assert shown["first"] == [4.5] * SHOWN_GAPS
    assert shown["last"] == [4.5] * (SHOWN_GAPS - 1) + [20_000.0]
    assert shown["histogram"] == [{"le_ms": 5.0, "count": 38}, {"le_ms": None, "count": 1}]
    timeline.mark_last_byte()
    assert timeline.at("last_byte") == pytest.approx(20_175.5)


def test_frames_are_kept_from_both_ends_and_say_their_way() -> None:
    timeline = Timeline()
    link, socket = timeline.tap("link", 1), timeline.tap("socket", 2)
    link(False, FrameType.OPEN, 100)
    socket(True, FrameType.ACCEPT, 1)
    for size in range(2 * KEPT_FRAMES):
        socket(False, FrameType.DATA, size)
    link(True, 0x7E, 5)
    frames = cast(list[dict[str, Any]], timeline.frames())
    assert [frame["direction"] for frame in frames[:3]] == ["down", "down", "up"]
    assert (frames[-1]["type"], frames[-1]["direction"], frames[-1]["hop"]) == ("?", "up", "link")
    assert len(frames) == 2 * KEPT_FRAMES


def test_of_a_long_stream_the_first_and_last_frames_are_kept_and_all_are_counted() -> None:
    timeline = Timeline()
    heard: list[tuple[object, ...]] = []
    timeline.listener = heard.append
    tap = timeline.tap("socket", 2)
    for size in range(7 * KEPT_FRAMES + 5):
        tap(False, FrameType.DATA, size)
        assert timeline.count == size + 1
    timeline.frame("runtime", "up", 0, "RESPONSE", 7)
    sizes = [event[-1] for event in timeline.events()]
    last = 7 * KEPT_FRAMES + 5
    assert sizes == [*range(KEPT_FRAMES), *range(last - KEPT_FRAMES + 1, last), 7]
    assert heard[-1][1:] == ("runtime", "up", 0, "RESPONSE", 7)
    assert len(heard) == timeline.count == last + 1


# --- time-outs ------------------------------------------------------------------------------------------------------


class Timed:
    def __init__(self, *, held: bool = False) -> None:
        self.held = held
        self.fired: list[str] = []
        self.told = asyncio.Event()

    def time_out(self, which: str, _: float) -> None:
        self.fired.append(which)
        self.told.set()


async def first_to_fire(seconds: dict[str, float], *steps: str, held: bool = False) -> str:
    timed = Timed(held=held)
    deadlines = Deadlines(Timeouts(**seconds), timed, Newcomers())
    for step in ("begin", *steps):
        getattr(deadlines, step)()
    await asyncio.wait_for(timed.told.wait(), 30)
    deadlines.stop()
    return timed.fired[0]


@pytest.mark.parametrize(
    ("seconds", "steps", "which"),
    [
        ({"start": 0.02}, ("starting", "starting"), "start"),
        ({"start": 0.01, "head": 0.03}, ("starting", "running"), "head"),
        ({"head": 0.01, "idle": 0.03}, ("running", "streaming"), "idle"),
        ({"head": 0.01, "total": 0.03}, ("running", "streaming"), "total"),
        ({"total": 0.02}, (), "total"),
        ({"idle": 5.0, "total": 0.02}, ("streaming",), "total"),
        ({"start": SOON * 1.5, "head": 9.0}, ("starting",), "start"),
        ({"start": 9.0, "head": SOON * 1.5}, ("starting", "running"), "head"),
        ({"head": 9.0, "idle": 9.0, "total": SOON * 1.5}, ("running", "streaming"), "total"),
    ],
)
async def test_the_time_out_of_the_phase_fires(seconds: dict[str, float], steps: tuple[str, ...], which: str) -> None:
    assert await first_to_fire(seconds, *steps) == which


async def test_a_silence_that_the_client_causes_does_not_count() -> None:
    assert await first_to_fire({"idle": 0.03, "total": 0.2}, "streaming", held=True) == "total"


@pytest.mark.parametrize("seconds", [0.01, SOON * 1.1])
async def test_stopped_deadlines_never_fire(seconds: float) -> None:
    timed = Timed()
    deadlines = Deadlines(Timeouts(total=seconds, head=seconds), timed, Newcomers())
    deadlines.begin()
    deadlines.running()
    deadlines.stop()
    deadlines.stop()
    assert await first_to_fire({"total": seconds + 0.02}) == "total", "the witness"
    assert timed.fired == []


def test_each_time_out_says_its_name_and_seconds() -> None:
    reasons = {timed_out(which, 2.5).reason for which in ("start", "head", "idle", "total")}
    assert reasons == {Reason.TIMEOUT_START, Reason.TIMEOUT_HEAD, Reason.TIMEOUT_IDLE, Reason.TIMEOUT_TOTAL}
    failure = timed_out("head", 2.5)
    assert (failure.status, failure.error) == (504, "timeout_head")
    assert "within 2.5 s" in failure.detail


# --- others ---------------------------------------------------------------------------------------------------------


def test_whole_traces_are_kept_within_a_budget_for_each_second() -> None:
    clock = Clock()
    budget = DetailBudget(2, clock)

    def wanted(verdict: Verdict) -> bool:
        invocation = an_invocation()
        invocation.outcome = Outcome(verdict, "-", "-", 200)
        return budget.wanted(invocation)

    assert [wanted(Verdict.OK) for _ in range(3)] == [True, True, False]
    assert [wanted(Verdict.ERROR) for _ in range(3)] == [True, True, False]
    watched = an_invocation()
    watched.outcome = Outcome(Verdict.OK, "-", "-", 200)
    watched.exchange.timeline.listener = lambda event: None
    assert budget.wanted(watched)
    clock.now += 1
    assert wanted(Verdict.OK)


def test_an_outcome_names_its_code_and_cause() -> None:
    outcome = Outcome(Verdict.CANCELLED, "C", "D", 200, "client_gone")
    assert (outcome.code, outcome.cause) == ("CD", "client")


def test_settings_refuse_unknown_keys_and_values_out_of_range() -> None:
    for wrong in ({"qeue": 1}, {"queue": 0}, {"control": {"host": "a", "port": 70_000}}, {"grace": -1}):
        with pytest.raises(ValueError):
            InvokerSettings.model_validate(wrong)
    with pytest.raises(ValueError):
        InvokerSettings().queue = 5  # type: ignore[misc]
