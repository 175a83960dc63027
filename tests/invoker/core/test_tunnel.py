"""Mode `tunnel`: invocations over the socket that the bridge opened."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dialback_wire.messages import Invoke

from .conftest import Stage
from .rogue import Rogue, dialled
from .strings import Puppet


@pytest.fixture
async def tunnel(made: Callable[[Any], Awaitable[Any]]) -> Stage:
    """A platform with the function `f` in mode `tunnel`, at concurrency 2 and with two workers at most."""
    stage: Stage = await made(Stage())
    await stage.deploy_puppet(mode="tunnel", concurrency=2, max_workers=2)
    return stage


def token_of(invoke: Invoke) -> str:
    return str(json.loads(invoke.event)["dialback"]["token"])


async def respond(rogue: Rogue, invoke: Invoke, body: bytes) -> None:
    """Serve an invocation to its end, as a bridge does."""
    (await rogue.accepted(token_of(invoke))).respond(body)
    rogue.mux.done(invoke.invocation)


@asynccontextmanager
async def a_socket_in_use(stage: Stage) -> AsyncIterator[tuple[Puppet, Rogue]]:
    """A worker that has served one invocation, and the socket that it opened for it."""
    client, puppet, given = await stage.invoked("/@f/", "Connection: close")
    async with dialled(puppet.receiver, given.token) as rogue:
        (await rogue.accepted(given.token)).respond(b"first")
        assert (await client.rest()).endswith(b"first")
        await puppet.respond(given)
        yield puppet, rogue


async def asked(stage: Stage, path: str = "/@f/", *headers: str) -> Any:
    client = await stage.client()
    client.get(path, *headers, "Connection: close")
    return client


async def test_the_first_invocation_makes_the_bridge_dial_and_the_next_come_over_its_socket(tunnel: Stage) -> None:
    client, puppet, given = await tunnel.invoked("/@f/", "Connection: close")
    async with dialled(puppet.receiver, given.token) as rogue:
        (await rogue.accepted(given.token)).respond(b"first")
        assert (await client.rest()).endswith(b"first")
        await puppet.respond(given)
        client = await asked(tunnel, "/@f/next?q=1")
        invoke = await rogue.invoked()
        event = json.loads(invoke.event)
        assert (event["rawPath"], event["rawQueryString"], invoke.deadline_ms) == ("/next", "q=1", 0)
        assert token_of(invoke) != given.token
        await respond(rogue, invoke, b"second")
        assert (await client.rest()).endswith(b"second")
        assert puppet.idle, "the runtime API handed out nothing more"
        trace = await tunnel.trace(invoke.invocation)
        frames = [(frame["hop"], frame["direction"], frame["type"]) for frame in trace["frames"]]
        assert ("socket", "down", "INVOKE") in frames
        assert ("socket", "up", "DONE") in frames
        assert not [frame for frame in frames if frame[0] == "runtime"]
        assert (trace["mode"], trace["verdict"]) == ("tunnel", "ok")


async def test_an_invocation_that_is_given_back_goes_to_another_worker(tunnel: Stage) -> None:
    async with a_socket_in_use(tunnel) as (puppet, rogue):
        client = await asked(tunnel)
        invoke = await rogue.invoked()
        rogue.mux.decline(invoke.invocation)
        other = await tunnel.puppet()
        again = await other.given()
        assert other.pid != puppet.pid
        assert (again.id, again.token != token_of(invoke)) == (invoke.invocation, True)
        async with dialled(other.receiver, again.token) as second:
            seen = await second.accepted(again.token)
            assert await second.open(token_of(invoke)).answer() == 401, "what was given back begins nowhere"
            seen.respond(b"by another")
            assert (await client.rest()).endswith(b"by another")
        await other.respond(again)


async def test_a_socket_that_breaks_before_an_invocation_began_loses_nothing(tunnel: Stage) -> None:
    async with a_socket_in_use(tunnel) as (_, rogue):
        client = await asked(tunnel)
        await rogue.invoked()
    other = await tunnel.puppet()
    again = await other.given()
    async with dialled(other.receiver, again.token) as second:
        (await second.accepted(again.token)).respond(b"by another")
        assert (await client.rest()).endswith(b"by another")
    await other.respond(again)


async def test_what_has_begun_cannot_be_given_back(tunnel: Stage) -> None:
    async with a_socket_in_use(tunnel) as (_, rogue):
        client = await asked(tunnel)
        invoke = await rogue.invoked()
        seen = await rogue.accepted(token_of(invoke))
        rogue.mux.decline(invoke.invocation)
        seen.respond(b"once")
        rogue.mux.done(invoke.invocation)
        assert (await client.rest()).endswith(b"once")


async def test_after_its_socket_broke_a_bridge_answers_at_the_runtime_api(tunnel: Stage) -> None:
    async with a_socket_in_use(tunnel) as (puppet, rogue):
        client = await asked(tunnel)
        invoke = await rogue.invoked()
        seen = await rogue.accepted(token_of(invoke))
        seen.head()
        assert b"200" in await client.until(b"\r\n\r\n")
    await client.rest()
    assert await puppet.post(f"invocation/{invoke.invocation}/response") == 202
    assert (await tunnel.trace(invoke.invocation))["verdict"] == "truncated"
    # Its slot is free again, and without a socket the next payload goes by the runtime API.
    await asked(tunnel)
    following = await puppet.given()
    await puppet.respond(following)


async def test_an_event_that_does_not_fit_into_a_frame_goes_by_the_runtime_api(tunnel: Stage) -> None:
    async with a_socket_in_use(tunnel) as (puppet, rogue):
        large = await tunnel.client()
        body = b"\0" * 65_536
        fields = [f"x-filler-{number}: {'x' * 8000}" for number in range(6)]
        lines = ["POST /@f/ HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", "Connection: close", *fields]
        large.send("\r\n".join([*lines, "", ""]).encode() + body)
        by_poll = await puppet.given()
        (await rogue.accepted(by_poll.token)).respond(b"large")
        assert (await large.rest()).endswith(b"large")
        await puppet.respond(by_poll)


async def test_a_stranger_on_the_socket_is_invoked_for_nobody(tunnel: Stage) -> None:
    client, puppet, given = await tunnel.invoked("/@f/", "Connection: close")
    async with dialled(puppet.receiver, "") as stranger, dialled(puppet.receiver, given.token) as rogue:
        stranger.mux.done(given.id)
        stranger.mux.decline(given.id)
        (await rogue.accepted(given.token)).respond(b"unharmed")
        assert (await client.rest()).endswith(b"unharmed")
        await puppet.respond(given)
