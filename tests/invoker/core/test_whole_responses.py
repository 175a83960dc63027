"""A response that the bridge sends as one frame: what the client gets, and what the trace says."""

import pytest

from dialback_wire.messages import Head

from .conftest import Stage
from .rogue import dialled
from .test_requests import CLOSE, error, status

PLAIN = (b"content-type", b"text/plain")


async def answered(stage: Stage, head: Head, body: bytes, method: str = "GET") -> tuple[bytes, str]:
    """All that the client gets for such a response, and the invocation's id."""
    client, puppet, given = await stage.invoked("/@f/", CLOSE, method=method)
    async with dialled(puppet.receiver, given.token) as rogue:
        seen = await rogue.accepted(given.token)
        seen.stream.answer(head, body)
        got = await client.rest()
        await puppet.respond(given)
    return got, given.id


async def test_it_is_one_frame_on_both_hops(stage: Stage) -> None:
    got, ident = await answered(stage, Head(200, (PLAIN, (b"content-length", b"5"))), b"hello")
    assert got.endswith(b"\r\n\r\nhello")
    assert status(got) == 200
    trace = await stage.trace(ident)
    assert (trace["verdict"], trace["code"], trace["status"]) == ("ok", "--", 200)
    assert (trace["bytes_out"], trace["chunks"]) == (5, 1)
    passed = {(frame["hop"], frame["type"]) for frame in trace["frames"] if frame["direction"] == "up"}
    assert {("socket", "ANSWER"), ("link", "ANSWER")} <= passed
    assert not {kind for _, kind in passed} & {"HEAD", "DATA", "END"}
    names = [mark["name"] for mark in trace["marks"]]
    assert names[-5:] == ["head", "first_byte", "last_byte", "end", "runtime_answered"]


async def test_without_a_length_it_is_chunked(stage: Stage) -> None:
    got, _ = await answered(stage, Head(200, (PLAIN,)), b"hello")
    assert got.endswith(b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")


async def test_an_empty_one_is_empty(stage: Stage) -> None:
    got, ident = await answered(stage, Head(200, ((b"content-length", b"0"),)), b"")
    assert got.endswith(b"\r\n\r\n")
    assert (await stage.trace(ident))["chunks"] == 0


@pytest.mark.parametrize(("method", "code"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_one_that_must_not_have_a_body_has_none(stage: Stage, method: str, code: int) -> None:
    got, ident = await answered(stage, Head(code, ()), b"nobody reads this", method=method)
    assert status(got) == code
    assert b"nobody" not in got
    assert (await stage.trace(ident))["verdict"] == "ok"


async def test_fewer_bytes_than_announced_are_a_truncation(stage: Stage) -> None:
    got, ident = await answered(stage, Head(200, ((b"content-length", b"9"),)), b"hello")
    assert got.endswith(b"hello")
    trace = await stage.trace(ident)
    assert (trace["verdict"], trace["error"]) == ("truncated", "short_body")


async def test_more_bytes_than_announced_are_cut_and_told(stage: Stage) -> None:
    got, ident = await answered(stage, Head(200, ((b"content-length", b"2"),)), b"hello")
    assert got.endswith(b"\r\n\r\nhe")
    assert (await stage.trace(ident))["error"] == "long_body"


async def test_a_head_that_may_not_go_out_is_a_502(stage: Stage) -> None:
    got, ident = await answered(stage, Head(200, ((b"x-bad", b"a\r\nb"),)), b"hello")
    assert (status(got), error(got)) == (502, "bad_head")
    assert (await stage.trace(ident))["verdict"] == "protocol"
