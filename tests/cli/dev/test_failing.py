"""Answers that fail, and those that only look like it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dialback.dev import failing as module
from dialback.dev.failing import FEW_WORDS, Failing
from dialback.dev.problem import Problem
from dialback.dev.state import State
from dialback_wire.messages import Accept, End, Head, Info, Reason, Request, Verdict

OK = End(Verdict.OK)
HEAD = Head(500, ((b"content-type", b"text/plain"),))


class Heard:
    """A sink that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.told.append((name, *arguments))

    @property
    def names(self) -> list[str]:
        return [each[0] for each in self.told]


@pytest.fixture
def heard() -> Heard:
    return Heard()


def failing(heard: Any, state: State, accept: bytes = b"text/html") -> Failing:
    fields = ((b"accept", accept),)
    return Failing(heard, Request("id", b"GET", b"/", b"h", fields, b"http", b"1.1", b"1:1", 0), state)


async def ended(heard: Heard) -> None:
    async with asyncio.timeout(30):
        while "on_end" not in heard.names:
            await asyncio.sleep(0.001)


async def test_a_500_of_a_framework_waits_for_what_was_raised(heard: Heard) -> None:
    state = State()
    sink = failing(heard, state)
    sink.on_head(HEAD)
    sink.on_data(b"Internal Server Error")
    sink.on_end(OK)
    await asyncio.sleep(0)
    assert heard.told == []
    state.remember("id", Problem("request", "ValueError: x"))
    await ended(heard)
    assert heard.told == [("on_end", End(Verdict.ERROR, status=500, code="handler_error", detail="ValueError: x"))]


async def test_it_is_passed_on_when_nothing_was_raised(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    sink = failing(heard, State())
    sink.on_head(HEAD)
    sink.on_data(b"x")
    sink.on_end(OK)
    await ended(heard)
    assert heard.told == [("on_head", HEAD), ("on_data", b"x"), ("on_end", OK)]


async def test_who_says_more_is_heard_at_once(heard: Heard) -> None:
    sink = failing(heard, State())
    sink.on_head(HEAD)
    sink.on_data(b"x" * FEW_WORDS)
    assert heard.told == []
    sink.on_data(b"y")
    sink.on_data(b"z")
    sink.on_end(OK)
    assert heard.names == ["on_head", "on_data", "on_data", "on_data", "on_end"]


@pytest.mark.parametrize("accept", [b"*/*", b"application/json", b""])
async def test_a_program_gets_what_the_framework_says(heard: Heard, accept: bytes) -> None:
    sink = failing(heard, State(), accept)
    sink.on_head(HEAD)
    sink.on_end(OK)
    assert heard.names == ["on_head", "on_end"]


async def test_an_answer_that_is_lost_or_cut_is_not_held_back(heard: Heard) -> None:
    for last in ("on_lost", "on_end"):
        sink = failing(heard, State())
        sink.on_head(HEAD)
        sink.on_lost("gone") if last == "on_lost" else sink.on_end(End(Verdict.TRUNCATED))
    assert heard.names == ["on_head", "on_lost", "on_head", "on_end"]


async def test_everything_else_is_passed_on(heard: Heard) -> None:
    sink = failing(heard, State())
    sink.on_accept(Accept(b"", False))
    sink.on_info(Info(103, ()))
    sink.on_credit()
    sink.on_sent(3)
    sink.on_head(Head(200, ()))
    sink.on_data(b"x")
    sink.on_trailers(())
    sink.on_cancel(Reason.SHUTDOWN, "")
    sink.on_refuse(503, "")
    sink.on_closed()
    assert heard.names == [
        *("on_accept", "on_info", "on_credit", "on_sent", "on_head", "on_data", "on_trailers", "on_cancel"),
        *("on_refuse", "on_closed"),
    ]
